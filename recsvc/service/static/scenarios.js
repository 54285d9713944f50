/** Scenarios: those that are stored, one as text, what it would change for somebody, its revisions. */

import { answer, get, randomUsers, scenarioOf } from './api.js';
import { bar, legend, scaleOf } from './bars.js';
import { copyButton } from './copy.js';
import { documents } from './documents.js';
import { confirmed, h, labelled, replace, say, trouble } from './dom.js';
import { jsonEditor } from './editor.js';
import { ago, count, moment, score, words } from './format.js';
import { linkTo } from './link.js';
import { signalsOf } from './list.js';
import { searchField } from './search.js';
import { called, remember } from './titles.js';

/**
 * @typedef {{name: string, revision: number, at: string | null, scenario: Object<string, any> | null,
 *   trouble: string | null, revisions: number[]}} Stored
 * @typedef {import('./list.js').Item & {placed_by?: string}} Placed
 * @typedef {{items: Placed[], degraded: string[], short?: string, scenario?: {notes: string[]}}} Listed
 * @typedef {{item_id: string, title: string | null, before: number | null, after: number | null, why: string}} Move
 */

const PAUSE_MS = 400;
const FIRST_TEXT = '{\n  "filters": [],\n  "rules": []\n}';
/** What was typed and is not stored yet, by the name of the scenario. @type {Map<string, string>} */
const drafts = new Map();

/**
 * The view, in a place of the page.
 * @param {Element} place
 * @param {AbortSignal} ending
 * @param {import('./state.js').State} state
 */
export function scenarios(place, ending, { about, user }) {
  if (about === null) all(place);
  else one(place, ending, about, user);
}

/** @param {Element} place */
function all(place) {
  documents(place, 'Scenarios', 'A scenario says how the lists of one place of a shop are made: what may be in them, what is pinned, raised or limited.', async () => {
    const { scenarios: found } = /** @type {{scenarios: Stored[]}} */ (await get('v1/scenarios'));
    return found.length ? listOf(found) : null;
  });
}

/** @param {Stored[]} found */
const listOf = (found) => h('ul', { class: 'stored' }, found.map(({ name, revision, at, scenario, trouble: why }) => h('li', {},
  linkTo({ about: name }, name),
  h('small', {}, scenario ? doesOf(scenario) : h('span', { class: 'state failed' }, why), ` · revision ${revision}, stored `,
    at && h('time', { datetime: at, title: moment(at) }, ago(at))))));

/** What a document does, in a few words. @param {Object<string, any>} document */
function doesOf({ filters = [], rules = [], ...others }) {
  const number = (/** @type {any[]} */ some, /** @type {string} */ name) => some.length > 0 && `${count(some.length)} ${name}${some.length === 1 ? '' : 's'}`;
  return [number(filters, 'filter'), number(rules, 'rule'), ...Object.entries(others).map(([name, value]) => `${words(name)}${typeof value === 'object' ? '' : ` ${value}`}`)].filter(Boolean).join(', ') || 'nothing';
}

/**
 * @param {Element} place
 * @param {AbortSignal} ending
 * @param {string} name
 * @param {string | null} first the user it is tried on.
 */
function one(place, ending, name, first) {
  const said = h('div', {});
  const status = h('p', { class: 'status' });
  const trial = h('div', { class: 'list' });
  const editor = jsonEditor(`The document of ${name}`, typed);
  const revisions = h('select', { onchange: () => load(Number(revisions.value)) });
  const store = h('button', { type: 'button', class: 'primary', disabled: true, onclick: put }, 'Store');
  const back = h('button', { type: 'button', disabled: true, onclick: rollBack }, 'Roll back to it');
  const away = h('button', { type: 'button', disabled: true, onclick: remove }, 'Delete');
  const whom = h('b', {});
  const field = searchField({
    what: 'users', label: 'Try it on a user', placeholder: 'Another user',
    chosen: ({ id, title }) => { remember(`user:${id}`, title ?? id); user = id; tryIt(); },
  });
  replace(place, h('div', { class: 'about' },
    h('section', { class: 'panel' },
      h('div', { class: 'heading' }, h('h2', {}, name), status, h('span', { class: 'copies' }, linkTo({ about: null }, 'All scenarios'), copyButton('Copy link', () => location.href))),
      h('div', { class: 'controls' }, labelled('Revision', revisions), back, store, away), said),
    h('div', { class: 'halves even' },
      h('section', { class: 'panel' }, h('h2', {}, 'The document'), editor.element),
      h('section', { class: 'panel', 'aria-label': 'What it would change' },
        h('div', { class: 'heading' }, h('h2', {}, 'For ', whom), field), trial))));
  let user = first;
  /** The newest revision; 0 where none is stored. */
  let newest = 0;
  let stored = FIRST_TEXT;
  let timer = 0;
  let loads = 0;
  let asking = new AbortController();
  ending.addEventListener('abort', () => { clearTimeout(timer); asking.abort(); });

  /** Show a revision; what was asked for last is shown, whatever comes last. @param {number} [revision] */
  async function load(revision) {
    const asked = ++loads;
    try {
      const { scenarios: known } = /** @type {{scenarios: Stored[]}} */ (await get('v1/scenarios'));
      const there = known.some((each) => each.name === name);
      const found = there ? /** @type {Stored} */ (await get(scenarioOf(name, revision))) : null;
      if (asked !== loads) return;
      newest = found?.revisions[0] ?? 0;
      stored = found?.scenario ? JSON.stringify(found.scenario, null, 2) : FIRST_TEXT;
      if (found?.trouble) replace(said, h('p', { class: 'note bad' }, found.trouble));
      replace(revisions, found === null ? h('option', {}, 'none') : found.revisions.map((each) => h('option', { value: each }, each === newest ? `${each} (newest)` : each)));
      if (found !== null) revisions.value = String(found.revision);
      replace(status, found === null ? 'Not stored yet' : found.at && ['Stored ', h('time', { datetime: found.at, title: moment(found.at) }, ago(found.at))]);
    } catch (error) {
      if (asked === loads) replace(said, trouble(error, () => load(revision)));
      return;
    }
    editor.write((revision === undefined && drafts.get(name)) || stored);
    arrange();
    tryIt();
  }

  /** What can be done now. */
  function arrange() {
    const changed = editor.read() !== stored;
    if (changed) drafts.set(name, editor.read());
    else drafts.delete(name);
    revisions.disabled = !newest;
    store.disabled = newest > 0 && !changed;
    back.disabled = !newest || Number(revisions.value) === newest;
    away.disabled = !newest;
  }

  function typed() {
    arrange();
    clearTimeout(timer);
    timer = setTimeout(tryIt, PAUSE_MS);
  }

  async function tryIt() {
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    const scenario = editor.document();
    trial.setAttribute('aria-busy', 'true');
    try {
      user ??= (await randomUsers(1))[0]?.id ?? null;
      if (signal.aborted) return;
      replace(whom, user === null ? 'nobody: there are no users' : called(`user:${user}`));
      if (scenario === undefined || user === null) {
        replace(trial, h('p', { class: 'none' }, 'What it would change is shown when it can be read.'));
      } else {
        const body = { scenario, user_id: user };
        const found = await answer({ method: 'POST', path: `${scenarioOf(name)}/try`, body }, signal);
        editor.faults([]);
        replace(trial, ...trialOf(found, newest));
      }
    } catch (error) {
      if (signal.aborted) return;
      replace(trial, editor.refused(error, 2) ? h('p', { class: 'none' }, 'What it would change is shown when the document is right.') : trouble(error, tryIt));
    }
    trial.removeAttribute('aria-busy');
  }

  async function put() {
    const scenario = editor.document();
    if (scenario === undefined) return;
    if (await confirmed(`Store ${name}?`, 'From now on lists are made by it wherever it is asked for, for everybody.', 'Store')) {
      await change({ method: 'PUT', path: scenarioOf(name, newest), body: scenario }, (made) => `Stored as revision ${made.revision}.`);
    }
  }

  async function rollBack() {
    const revision = revisions.value;
    if (await confirmed(`Roll back to revision ${revision}?`, 'It is stored as the next revision, and counts for everybody from now on.', 'Roll back')) {
      await change({ method: 'POST', path: `${scenarioOf(name)}/rollback?revision=${revision}` }, (made) => `Revision ${revision} is stored as revision ${made.revision}.`);
    }
  }

  async function remove() {
    if (await confirmed(`Delete ${name}?`, 'It goes with all its revisions. A list that is asked for under it is then an error.', 'Delete')) {
      await change({ method: 'DELETE', path: scenarioOf(name) }, () => `${name} is deleted.`);
    }
  }

  /** @param {import('./api.js').Ask} ask @param {(made: {revision: number}) => string} told */
  async function change(ask, told) {
    try {
      const text = told(await answer(ask));
      drafts.delete(name);
      replace(said, h('p', { class: 'note' }, text));
      say(text);
      await load();
    } catch (error) {
      replace(said, !editor.refused(error, 1) && trouble(error, again));
    }
  }

  /** Show what is stored now in the place of what went wrong; what was typed stays. */
  function again() {
    replace(said);
    load();
  }

  load();
}

/**
 * The list under what is tried, and what moves.
 * @param {{after: Listed, moves: Move[]}} found
 * @param {number} newest
 */
function trialOf({ after, moves }, newest) {
  const { items, degraded, short, scenario } = after;
  const names = signalsOf(items);
  const parts = items.map(({ signals }) => /** @type {[string, number][]} */ (
    names.filter((name) => name in signals).map((name) => [name, signals[name]])));
  const scale = scaleOf(parts);
  const moved = new Map(moves.map((move) => [move.item_id, move]));
  const gone = moves.filter((move) => move.after === null);
  const against = newest ? `against revision ${newest}` : 'against no scenario';
  return [
    degraded.length > 0 && h('p', { class: 'note bad', role: 'alert' }, `Neo4j did not answer in time, so this is left out: ${degraded.join(', ')}.`),
    h('p', { class: 'status' }, h('b', {}, moves.length ? `${count(moves.length)} move` : 'Nothing moves'), ` ${against}`),
    [...(scenario?.notes ?? []), ...(short ? [short] : [])].map((note) => h('p', { class: 'note' }, note)),
    legend(names),
    h('ol', { class: 'trial' }, items.map((item, index) => {
      const move = moved.get(item.item_id);
      const why = item.placed_by ?? move?.why;
      return h('li', { 'data-item': item.item_id }, h('span', { class: 'rank' }, item.rank),
        h('span', { class: 'title' }, h('b', {}, item.title ?? item.item_id), move && markOf(move), why && h('small', {}, why)),
        bar(parts[index], scale), h('span', { class: 'score' }, score(item.score)));
    })),
    gone.length > 0 && h('section', { class: 'gone' }, h('h3', {}, `Left the list: ${count(gone.length)}`),
      h('ul', {}, gone.map(({ title, item_id: id, before }) => h('li', {}, h('span', { class: 'rank' }, before), title ?? id)))),
  ].flat();
}

/** @param {Move} move */
function markOf({ before, after }) {
  if (before === null) return h('em', { class: 'move new' }, 'new');
  const up = before - Number(after);
  return up > 0 ? h('em', { class: 'move up' }, `▲ ${up} from ${before}`) : h('em', { class: 'move down' }, `▼ ${-up} from ${before}`);
}
