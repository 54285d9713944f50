/** Refreshes: those that are known, how the one under way goes, and starting one. */

import { fileOf, get, post } from './api.js';
import { confirmed, h, replace, say, trouble } from './dom.js';
import { ago, count, duration, megabytes, moment } from './format.js';
import { keptKey } from './key.js';

/**
 * @typedef {{name: string, state: string, attempt: number, started_at: string,
 *   seconds: number | null, memory_bytes: number | null}} Step
 * @typedef {{id: string, state: string, running: boolean | null, error: string | null,
 *   begun_at: string | null, finished_at: string | null, models: string[], steps: Step[],
 *   versions: Object<string, number> | null, report: string | null,
 *   metrics: Object<string, Object<string, {mean: number, low?: number, high?: number}>> | null}} Run
 */

const POLL_MS = 2000;

/**
 * @param {Element} place
 * @param {() => void} ended is told when a refresh has ended.
 * @param {AbortSignal} ending ends the polling.
 */
export function refreshes(place, ended, ending) {
  const said = h('div', {});
  const body = h('div', {});
  const start = h('button', { type: 'button', class: 'primary', onclick: begin }, 'Start a refresh');
  replace(place, h('div', { class: 'heading' }, h('h2', {}, 'Refreshes'), start), said, body);
  let timer = 0;
  let running = false;
  /** @type {string[]} */
  let models = [];
  ending.addEventListener('abort', () => clearTimeout(timer));

  async function load() {
    clearTimeout(timer);
    try {
      const { refreshes: runs } = /** @type {{refreshes: Run[]}} */ (await get('v1/refreshes'));
      if (ending.aborted) return;
      const open = new Set([...body.querySelectorAll('details[open]')].map((each) => each.getAttribute('data-run')));
      replace(body, runs.length ? runs.map((run, index) => runOf(run, index === 0 || open.has(run.id)))
        : h('p', { class: 'none' }, 'No refresh has run with this RECSVC_HOME.'));
      const now = runs.some((run) => run.running);
      const justEnded = running && !now;
      if (justEnded) {
        say(`The refresh has ended: ${runs[0]?.state}`);
        ended();
      }
      running = now;
      models = runs[0]?.models ?? [];
      start.disabled = running;
      // Once more after the end: what came of it is noted last.
      if (running || justEnded) timer = setTimeout(load, POLL_MS);
    } catch (error) {
      replace(body, trouble(error, load));
    }
  }

  async function begin() {
    const trained = models.length ? models.join(', ') : 'the models that `recsvc refresh` trains';
    if (!await confirmed('Start a refresh?', `It trains ${trained} on the graph as it is now, and activates what it made if that is no worse. It takes minutes.`, 'Start')) return;
    start.disabled = true;
    replace(said, h('p', { class: 'note' }, 'Starting…'));
    try {
      const { id } = await post('v1/refreshes', models.length ? { models } : {});
      replace(said);
      say(`Refresh ${id} has begun`);
    } catch (error) {
      start.disabled = false;
      replace(said, trouble(error));
    }
    await load();
  }

  load();
}

/** @param {Run} run @param {boolean} open */
function runOf(run, open) {
  const { id, state, running, error, begun_at: begun, models, steps, versions, metrics, report } = run;
  const called = running ? 'running' : state;
  const total = steps.reduce((all, step) => all + (step.seconds ?? 0), 0);
  const made = versions && Object.entries(versions).map(([model, version]) => `${model} ${version}`).join(', ');
  return h('details', { open, 'data-run': id, class: 'run' },
    h('summary', {}, h('span', { class: `state ${called}` }, called),
      h('b', {}, begun ? h('time', { datetime: begun, title: moment(begun) }, ago(begun)) : id),
      h('small', {}, `${models.join(', ')} · ${duration(total)}`)),
    error && h('p', { class: 'note bad' }, error),
    h('ol', { class: 'steps' }, steps.map((step) => stepOf(step, total))),
    made && h('p', {}, `Made ${made}.`),
    report && h('p', {}, linkTo(report, id)),
    metrics && metricsOf(metrics),
    h('p', { class: 'none' }, id));
}

/** A link takes no key along, so with one the page is saved. @param {string} report @param {string} id */
function linkTo(report, id) {
  if (keptKey() === null) return h('a', { href: report }, 'The page of this run');
  const link = h('a', { download: `refresh-${id}.html`, hidden: true });
  const button = h('button', { type: 'button', onclick: save }, 'Save the page of this run');
  async function save() {
    try {
      link.href = URL.createObjectURL(await fileOf(report));
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (error) {
      button.after(trouble(error));
    }
  }
  return h('span', {}, button, link);
}

/** @param {Step} step @param {number} total */
function stepOf({ name, state, attempt, seconds, memory_bytes: memory }, total) {
  const bar = h('span', { class: 'took' });
  bar.style.width = `${seconds === null ? 0 : (100 * seconds) / Math.max(total, 1e-9)}%`;
  const facts = [
    seconds === null ? state : duration(seconds), memory !== null && megabytes(memory),
    attempt > 1 && `attempt ${count(attempt)}`,
  ].filter(Boolean).join(' · ');
  return h('li', { class: state }, h('b', {}, name), h('span', { class: 'track', 'aria-hidden': 'true' }, bar), h('small', {}, facts));
}

/** @param {NonNullable<Run['metrics']>} metrics */
function metricsOf(metrics) {
  const rows = Object.entries(metrics).flatMap(([signal, found]) => {
    const value = found['ndcg@20'];
    return value ? [{ signal, value }] : [];
  });
  return rows.length > 0 && h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'How good it is' }, h('table', { class: 'grid' },
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Signal'), h('th', { scope: 'col', class: 'number' }, 'ndcg@20'),
      h('th', { scope: 'col', class: 'number' }, '95 % interval'))),
    h('tbody', {}, rows.map(({ signal, value: { mean, low, high } }) => h('tr', {}, h('th', { scope: 'row' }, signal),
      h('td', { class: 'number' }, mean.toFixed(4)),
      h('td', { class: 'number' }, low === undefined || high === undefined ? '' : `${low.toFixed(4)} to ${high.toFixed(4)}`))))));
}
