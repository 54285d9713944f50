/** The versions of the models: what is active, how good it is, what was before; going back. */

import { get, post } from './api.js';
import { confirmed, h, replace, say, trouble } from './dom.js';
import { ago, duration, moment } from './format.js';
import { refreshes } from './refreshes.js';
import { trendOf } from './trend.js';

/**
 * @typedef {{model: string, version: number, status: string, slot?: string, stored?: boolean,
 *   metrics?: Object<string, number>, activated_at?: string, ready_at?: string,
 *   retired_at?: string, started_at?: string, seconds?: number, reason?: string, run?: string,
 *   overridden?: string[]}} Version
 */

const METRICS = ['ndcg@20', 'recall@20', 'coverage@20'];
const HYBRID = 'hybrid';

/**
 * The view, in a place of the page.
 * @param {Element} place
 * @param {AbortSignal} ending ends what goes on in the background.
 */
export function versions(place, ending) {
  const said = h('div', {});
  const body = h('div', { class: 'list' }, h('p', { class: 'none' }, 'Reading…'));
  const trend = h('div', {});
  const runs = h('section', { class: 'refreshes' });
  const back = h('button', { type: 'button', onclick: rollBack }, 'Roll back');
  replace(place, h('div', { class: 'versions' },
    h('section', {},
      h('div', { class: 'heading' }, h('h2', {}, 'Versions'), back), said, body, trend),
    runs));

  async function load() {
    try {
      const [{ models }, known] = await Promise.all([get('v1/models'), get('v1/refreshes').catch(() => ({ refreshes: [] }))]);
      replace(trend, trendOf(models, METRICS, known.refreshes));
      replace(body, models.length ? tableOf(models, activate) : empty());
      back.disabled = models.filter((/** @type {Version} */ each) => each.model === HYBRID && each.stored).length < 2;
    } catch (error) {
      replace(body, trouble(error, load));
    }
  }

  async function rollBack() {
    if (await confirmed('Roll back?', 'The versions that were active before become active again, of all models together, for everybody.', 'Roll back')) {
      await change(() => post(`v1/models/${HYBRID}/rollback`));
    }
  }

  /** @param {Version} version */
  async function activate({ model, version }) {
    if (await confirmed(`Activate ${model} ${version}?`, 'What the same refresh made becomes active with it, for everybody.', 'Activate')) {
      await change(() => post(`v1/models/${encodeURIComponent(model)}/activate`, { version }));
    }
  }

  /** @param {() => Promise<{versions: Object<string, number>}>} flip */
  async function change(flip) {
    try {
      const named = Object.entries((await flip()).versions).map(([model, version]) => `${model} ${version}`);
      replace(said, h('p', { class: 'note' }, `Active now: ${named.join(', ')}.`));
      say(`Active now: ${named.join(', ')}`);
    } catch (error) {
      replace(said, trouble(error));
    }
    await load();
  }

  load();
  refreshes(runs, load, ending);
}

const empty = () => h('p', { class: 'none' }, 'Nothing has been refreshed yet. Start a refresh here, or run `recsvc refresh`.');

/** @param {Version[]} all @param {(version: Version) => void} activate */
function tableOf(all, activate) {
  const metrics = METRICS.filter((name) => all.some((each) => each.metrics && name in each.metrics));
  const models = [...new Set(all.map(({ model }) => model))].sort(
    (a, b) => Number(b === HYBRID) - Number(a === HYBRID) || a.localeCompare(b));
  const heads = ['Model', 'Version', 'Status', 'Since', ...metrics, 'Made in', ''];
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Versions of the models' },
    h('table', { class: 'grid' },
      h('thead', {}, h('tr', {}, heads.map((name, index) => h('th', { scope: 'col', class: index > 3 ? 'number' : '' }, name || h('span', { class: 'unseen' }, 'Action'))))),
      models.map((model) => h('tbody', {}, all.filter((each) => each.model === model).map((each, index) =>
        rowOf(each, index, metrics, activate))))));
}

/**
 * @param {Version} version
 * @param {number} index
 * @param {string[]} metrics
 * @param {(version: Version) => void} activate
 */
function rowOf(version, index, metrics, activate) {
  const { model, version: number, status, stored, seconds, reason, overridden } = version;
  const notes = [reason, ...(overridden ?? []).map((text) => `forced: ${text}`)].filter(Boolean);
  return h('tr', { class: status },
    h('th', { scope: 'row' }, index ? '' : model, index > 0 && h('span', { class: 'unseen' }, model)),
    h('td', {}, number),
    h('td', {}, h('span', { class: `state ${status}` }, status), notes.length > 0 && h('small', {}, notes.join('; '))),
    h('td', {}, sinceOf(version)),
    metrics.map((name) => h('td', { class: 'number' }, metricOf(version.metrics?.[name]))),
    h('td', { class: 'number' }, seconds == null ? '' : duration(seconds)),
    h('td', { class: 'number' }, status === 'retired' && stored && h('button', {
      type: 'button', class: 'quiet', 'aria-label': `Activate ${model} ${number}`, onclick: () => activate(version),
    }, 'Activate')));
}

/** @param {number | undefined} value */
const metricOf = (value) => (value === undefined ? '' : value.toFixed(4));

/** @param {Version} version */
function sinceOf({ status, activated_at: active, retired_at: retired, ready_at: ready, started_at: started }) {
  const at = status === 'active' ? active : status === 'retired' ? retired : ready ?? started;
  return at ? h('time', { datetime: at, title: moment(at) }, ago(at)) : '';
}

