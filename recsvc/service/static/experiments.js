/** Experiments: which there are, what one does, what came out of it, its begin and its end. */

import { answer, experimentOf, get, post } from './api.js';
import { copyButton, curlOf } from './copy.js';
import { documents } from './documents.js';
import { confirmed, h, labelled, replace, say, trouble } from './dom.js';
import { jsonEditor } from './editor.js';
import { ago, count, moment, percent, points } from './format.js';
import { linkTo } from './link.js';
import { go } from './state.js';

/**
 * @typedef {{name: string, share: number, version: number | null, scenario: string | null}} Variant
 * @typedef {{name: string, revision: number, began_at: string | null, stopped_at: string | null,
 *   promoted: string | null, promoted_until?: string | null, variants: Variant[], kind: string,
 *   scenario: string | null, effect: number}} Experiment
 * @typedef {{mean: number, low: number, high: number, p_value: number}} Difference
 * @typedef {{variant: string, users: number, shown: number, followed: number, rate: number,
 *   difference: Difference | null}} Result
 * @typedef {{value: string, variants: Result[], sample_ratio_p_value: number, mismatch: boolean}} Part
 * @typedef {{kind: string, name: string, number: number, at: string}} Change
 * @typedef {{name: string, trouble: string}} Unreadable
 * @typedef {{experiments: Experiment[], unreadable: Unreadable[]}} Every
 */

const FIRST = {
  variants: [{ name: 'now', share: 0.5 }, { name: 'other', share: 0.5, scenario: 'its scenario' }],
  kind: 'click',
};

/**
 * The view, in a place of the page.
 * @param {Element} place
 * @param {AbortSignal} _ending
 * @param {import('./state.js').State} state
 */
export function experiments(place, _ending, { about }) {
  if (about === null) all(place);
  else one(place, about);
}

/** @param {Element} place */
function all(place) {
  documents(place, 'Experiments', 'An experiment answers users in two or more ways and says which is better.', async () => {
    const { experiments: found, unreadable } = /** @type {Every} */ (await get('v1/experiments'));
    return found.length + unreadable.length ? listOf(found, unreadable) : null;
  });
}

/** @param {Experiment[]} found @param {Unreadable[]} unreadable */
const listOf = (found, unreadable) => h('ul', { class: 'stored' }, found.map((each) => h('li', {},
  linkTo({ about: each.name }, each.name), stateOf(each),
  h('small', {}, 'began ', timeOf(each.began_at), ` · lists ${listsOf(each)} · `,
    each.variants.map(({ name, share }) => `${name} ${percent(share)}`).join(', ')))),
unreadable.map(({ name, trouble: why }) => h('li', {},
  linkTo({ about: name }, name), h('small', {}, h('span', { class: 'state failed' }, why)))));

/** @param {Experiment} experiment */
function stateOf({ stopped_at: stopped, promoted, promoted_until: until }) {
  if (stopped === null) return h('span', { class: 'state running' }, 'running');
  return h('span', { class: promoted && !until ? 'state active' : 'state' }, promoted && !until ? `stopped, ${promoted} promoted` : 'stopped');
}

/** @param {Experiment} experiment */
const listsOf = ({ scenario }) => (scenario === null ? 'without a scenario' : `of the scenario ${scenario}`);

/** @param {string | null} at */
const timeOf = (at) => at !== null && h('time', { datetime: at, title: moment(at) }, ago(at));

/** @param {Element} place @param {string} name */
function one(place, name) {
  const said = h('div', {});
  const status = h('p', { class: 'status' });
  const body = h('div', { class: 'list' }, h('p', { class: 'none' }, 'Reading…'));
  const kind = h('input', { type: 'text', maxlength: 100, autocomplete: 'off', onchange: results });
  const segment = h('input', { type: 'text', maxlength: 100, autocomplete: 'off', placeholder: 'such as country', onchange: results });
  const promote = h('select', {});
  const stop = h('button', { type: 'button', disabled: true, onclick: end }, 'Stop');
  const editor = jsonEditor(`The document of ${name}`, () => {});
  const begin = h('button', { type: 'button', class: 'primary', disabled: true, onclick: put }, 'Begin');
  const away = h('button', { type: 'button', onclick: remove }, 'Delete');
  const ending = h('div', { class: 'controls' }, labelled('Then everybody gets', promote), stop, away);
  const fold = h('details', {}, h('summary', {}, h('h2', {}, 'The document')),
    h('p', { class: 'none' }, 'Each variant has a share of the users. It is a version of the blend, a scenario, or both; left out, the active version, or no scenario.'),
    editor.element,
    h('div', { class: 'controls' }, begin, copyButton('Copy curl', () => curlOf({ ...asked(), body: editor.document() ?? {} }))));
  const outcome = h('section', { class: 'panel', 'aria-label': 'Results' },
    h('div', { class: 'heading' }, h('h2', {}, 'Results'),
      h('div', { class: 'controls' }, labelled('What is to follow', kind), labelled('By a property of users', segment))), body);
  replace(place, h('div', { class: 'about' },
    h('section', { class: 'panel' },
      h('div', { class: 'heading' }, h('h2', {}, name), status, h('span', { class: 'copies' }, linkTo({ about: null }, 'All experiments'), copyButton('Copy link', () => location.href))),
      ending, said),
    h('section', { class: 'panel' }, fold), outcome));
  /** What is stored; null where nothing is. @type {Experiment | null} */
  let known = null;
  /** What is stored and cannot be read. @type {Unreadable | null} */
  let broken = null;
  let stored = '';

  /** The request that has it run. @returns {{method: string, path: string}} */
  const asked = () => ({ method: 'PUT', path: experimentOf(name, broken ? undefined : known?.revision ?? 0) });

  async function load() {
    try {
      const { experiments: found, unreadable } = /** @type {Every} */ (await get('v1/experiments'));
      known = found.find((each) => each.name === name) ?? null;
      broken = unreadable.find((each) => each.name === name) ?? null;
    } catch (error) {
      replace(said, trouble(error, again));
      return;
    }
    outcome.hidden = known === null;
    ending.hidden = known === null && broken === null;
    stop.disabled = promote.disabled = known === null;
    begin.disabled = false;
    begin.textContent = known === null ? 'Begin' : 'Begin anew';
    const text = JSON.stringify(known === null ? FIRST : documentOf(known), null, 2);
    if (editor.read() === stored) editor.write(text); // what was typed stays
    stored = text;
    if (known === null || editor.read() !== text) fold.open = true;
    if (known !== null) await show(known);
    else replace(status, broken === null ? 'Not stored yet' : h('span', { class: 'state failed' }, broken.trouble));
  }

  /** @param {Experiment} experiment */
  async function show(experiment) {
    const { began_at: began, stopped_at: stopped, promoted, promoted_until: until, variants, revision } = experiment;
    replace(status, stateOf(experiment), ` lists ${listsOf(experiment)} · revision ${revision}, began `, timeOf(began), stopped !== null && [' · stopped ', timeOf(stopped)]);
    replace(promote, h('option', { value: '' }, 'no variant'), variants.map((each) => h('option', { value: each.name }, each.name)));
    promote.value = (!until && promoted) || '';
    stop.textContent = stopped === null ? 'Stop' : 'Change';
    kind.value ||= experiment.kind;
    await results();
  }

  async function results() {
    if (known === null) return;
    body.setAttribute('aria-busy', 'true');
    try {
      const query = new URLSearchParams({ kind: kind.value.trim() || known.kind });
      if (segment.value.trim()) query.set('segment', segment.value.trim());
      const { results: parts, left_out: more = 0, last_days: days = null, changed = [] } = /** @type {{results: Part[], left_out?: number, last_days?: number | null, changed?: Change[]}} */ (await get(`${experimentOf(name)}/results?${query}`));
      const found = parts.flatMap(({ variants }) => variants);
      const { variants } = known;
      replace(body, h('p', { class: 'none' }, told(query.get('kind') ?? '', variants[0].name, days)), changesOf(changed),
        parts.map((part) => partOf(part, variants, widest(found), query.has('segment'))),
        more > 0 && h('p', { class: 'none' }, `${count(more)} more values of the property have fewer users.`));
      say(found.map(({ variant, rate }) => `${variant} ${percent(rate)}`).join(', '));
    } catch (error) {
      replace(body, trouble(error, results));
    }
    body.removeAttribute('aria-busy');
  }

  async function put() {
    const experiment = editor.document();
    if (experiment === undefined) return;
    const then = known === null ? 'From now on users are answered by its variants.' : 'From now on users are answered by these variants. Its results begin anew.';
    if (!await confirmed(`${known === null ? 'Begin' : 'Begin anew'} ${name}?`, then, 'Begin')) return;
    await change(async () => {
      await answer({ ...asked(), body: experiment });
      stored = editor.read();
      fold.open = false;
    }, 'It runs.', (error) => editor.refused(error, 1));
  }

  async function end() {
    const chosen = promote.value || null;
    const then = chosen === null ? 'Everybody gets what they would without it.' : `Everybody gets ${chosen} from now on.`;
    const running = known?.stopped_at === null;
    if (!await confirmed(running ? `Stop ${name}?` : 'Change what everybody gets?', then, running ? 'Stop' : 'Change')) return;
    await change(() => post(`${experimentOf(name)}/stop`, { promote: chosen, revision: known?.revision }), `It is stopped. ${then}`);
  }

  async function remove() {
    if (!await confirmed(`Delete ${name}?`, 'What it promoted counts no more. The outcomes of its answers stay, without results.', 'Delete')) return;
    await change(() => answer({ method: 'DELETE', path: experimentOf(name) }), `${name} is deleted.`);
  }

  /** Show what is stored now in the place of what went wrong. */
  function again() {
    replace(said);
    load();
  }

  /** @param {() => Promise<any>} ask @param {string} text @param {(error: unknown) => boolean} refused whether it shows what is wrong. */
  async function change(ask, text, refused = () => false) {
    try {
      await ask();
    } catch (error) {
      replace(said, !refused(error) && trouble(error, again));
      return;
    }
    replace(said, h('p', { class: 'note' }, text));
    say(text);
    await load();
  }

  load();
}

/** What was written to have it run: without what was left out. @param {Experiment} experiment */
function documentOf({ variants, kind, scenario, effect }) {
  const there = (/** @type {Object<string, any>} */ values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
  return there({ variants: variants.map(there), kind, scenario, effect });
}

/** What changed while it ran. @param {Change[]} changed */
const changesOf = (changed) => changed.length > 0 && h('div', { class: 'note' },
  h('p', {}, 'Changed meanwhile: these results are of lists from before and after.'),
  h('ul', {}, changed.map(({ kind, name, number, at }) => h('li', {},
    kind === 'scenario' ? `scenario ${name}, revision ${number}, ` : `version ${number} became active `, timeOf(at)))));

/** @param {string} kind @param {string} first @param {number | null} days */
const told = (kind, first, days) => `For how many of the items that were shown an outcome ${kind} followed. `
  + `Differences are to ${first}. ${days === null ? 'Their intervals hold however often you look.'
    : `It began more than ${days} days ago, and older outcomes are not kept: these are results of the last ${days} days, and their intervals do not hold at all looks.`}`;

/** How far from 0 intervals go. @param {Result[]} found */
const widest = (found) => Math.max(1e-9, ...found.flatMap(({ difference: d }) => (d ? [-d.low, d.high, Math.abs(d.mean)] : [])));

/** @param {Part} part @param {Variant[]} variants @param {number} most @param {boolean} segmented */
function partOf({ value, variants, mismatch, sample_ratio_p_value: p }, known, most, segmented) {
  const users = variants.reduce((sum, each) => sum + each.users, 0);
  return h('section', { class: 'outcome' },
    segmented && h('h3', {}, value || 'no value'),
    mismatch && h('p', { class: 'note bad', role: 'alert' },
      `Do not compare these rates: of ${count(users)} users, ${variants.map((each, index) => `${count(each.users)} came to ${each.variant} (its share is ${percent(known[index].share)})`).join(' and ')}. By chance this happens with p ${level(p)}. Look for lists of one variant that are not shown, or not told of.`),
    h('ul', {}, variants.map((each, index) => variantOf(each, known[index], most, mismatch, index === 0))));
}

/** @param {Result} result @param {Variant} variant @param {number} most @param {boolean} mismatch @param {boolean} first */
function variantOf({ variant, users, shown, followed, rate, difference }, { share, version, scenario }, most, mismatch, first) {
  const gets = [version !== null && `version ${version}`, scenario !== null && `scenario ${scenario}`].filter(Boolean).join(', ');
  return h('li', { 'data-variant': variant },
    h('span', { class: 'title' }, h('b', {}, variant), h('small', {}, [percent(share), ' of users', gets && ` · ${gets}`].filter(Boolean).join(''))),
    h('span', { class: 'rate' }, h('b', {}, shown ? percent(rate) : 'nothing shown yet'), h('small', {}, `${count(followed)} of ${count(shown)} · ${count(users)} ${users === 1 ? 'user' : 'users'}`)),
    difference && intervalOf(difference, most),
    !difference && !first && h('span', { class: 'verdict' }, h('small', {}, 'Compared once 50 users of both have an outcome.')),
    difference && h('span', { class: 'verdict' }, h('b', { class: mismatch ? '' : verdictOf(difference) }, mismatch ? 'not comparable' : VERDICTS[verdictOf(difference)]),
      h('small', {}, `${points(difference.mean)} points, ${points(difference.low)} to ${points(difference.high)} · p ${level(difference.p_value)}`)));
}

/** @type {Object<string, string>} */
const VERDICTS = { better: 'better', worse: 'worse', open: 'not decided yet' };

/** @param {Difference} difference */
function verdictOf({ low, high }) {
  if (low > 0) return 'better';
  return high < 0 ? 'worse' : 'open';
}

/** A level of a test, as people read it. @param {number} p */
const level = (p) => (p < 0.001 ? '< 0.001' : p.toFixed(3));

/**
 * An interval on a scale with 0 in the middle; what it says stands beside it.
 * @param {Difference} difference
 * @param {number} most
 */
function intervalOf({ mean, low, high }, most) {
  const at = (/** @type {number} */ value) => 50 + (50 * value) / most;
  const range = h('i', { class: 'range' });
  range.style.left = `${at(low)}%`;
  range.style.width = `${at(high) - at(low)}%`;
  const point = h('i', { class: 'point' });
  point.style.left = `${at(mean)}%`;
  return h('span', { class: 'interval', 'aria-hidden': 'true' }, range, point);
}
