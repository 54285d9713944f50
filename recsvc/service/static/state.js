/** What is looked at. It is the address of the page, so every view is a permalink. */

/**
 * @typedef {Object} State
 * @property {string} view `recommendations`, `new`, or another of the head of the page.
 * @property {string | null} user A user of the graph.
 * @property {string | null} about The item, scenario or experiment that a view is about.
 * @property {string[]} item What somebody new says they like.
 * @property {number} k
 * @property {string[]} category
 * @property {number} diversity
 * @property {string[]} without Evidence that is taken away, as `item:55`.
 * @property {string} by What answers: `` for all signals, `signal:…` or `version:…`.
 * @property {string} other What it is compared with.
 * @property {string} sort `rank`, `title` or `signal:…`.
 * @property {string | null} open The item whose explanation is shown; `` for none.
 */

/** @type {State} */
const FIRST = {
  view: 'recommendations', user: null, about: null, item: [], k: 10, category: [], diversity: 0, without: [],
  by: '', other: '', sort: 'rank', open: null,
};
const LISTS = ['item', 'category', 'without'];
const NUMBERS = ['k', 'diversity'];

/** @type {Set<(state: State, before: State) => void>} */
const listeners = new Set();

/** @type {State} */
let now = read(location.search);

/** What an address says. @param {string} query @returns {State} */
export function read(query) {
  const given = new URLSearchParams(query);
  /** @type {any} */
  const state = { ...FIRST };
  for (const name of Object.keys(FIRST)) {
    if (!given.has(name)) continue;
    if (LISTS.includes(name)) state[name] = given.getAll(name);
    else if (NUMBERS.includes(name)) state[name] = Number(given.get(name)) || 0;
    else state[name] = given.get(name);
  }
  return state;
}

/** The address of a state. @param {State} state */
export function addressOf(state) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (Array.isArray(value)) value.forEach((each) => query.append(name, each));
    else if (value !== /** @type {any} */ (FIRST)[name]) query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `?${text}` : './';
}

/** What is looked at now. */
export const current = () => now;

/** The same for somebody else: evidence, filters of theirs and what is open do not stay. */
export const anew = { user: null, about: null, item: [], without: [], open: null };

/**
 * Look at something else.
 * @param {Partial<State>} change
 * @param {{quietly?: boolean}} [how] `quietly` is no step that the back button goes back to.
 */
export function go(change, { quietly = false } = {}) {
  const next = { ...now, ...change };
  history[quietly ? 'replaceState' : 'pushState'](null, '', addressOf(next));
  show(next);
}

/** Be told of each change. @param {(state: State, before: State) => void} listener */
export function watch(listener) {
  listeners.add(listener);
}

/** @param {State} next */
function show(next) {
  const before = now;
  now = next;
  listeners.forEach((listener) => listener(now, before));
}

addEventListener('popstate', () => show(read(location.search)));
