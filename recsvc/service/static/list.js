/** The recommendations, each with its score as a bar and its explanation. */

import { bar, legend, scaleOf } from './bars.js';
import { detailOf } from './detail.js';
import { h } from './dom.js';
import { score } from './format.js';
import { NO_SIGNALS } from './meaning.js';
import { current, go } from './state.js';

/**
 * @typedef {{kind: string, id: string | null, title: string | null}} Ref
 * @typedef {{text: string, contributions: {signal: string, evidence: Ref, value: number}[],
 *   remainder: number, paths?: import('./graph.js').Path[] | null, cypher?: string | null,
 *   counterfactual?: {without: Ref[], replaced_by: string} | null}} Explanation
 * @typedef {{item_id: string, title: string | null, rank: number, score: number,
 *   signals: Object<string, number>, explanation: Explanation}} Item
 * @typedef {{items: Item[], versions: Object<string, number>, degraded: string[], took_ms: number,
 *   k: number, short?: string, recommendation_id?: string, scenario?: {name: string},
 *   variant?: {experiment: string, name: string}}} Answer
 */

/** The signals of a list, those that say most first, and what no evidence carries last. */
export function signalsOf(/** @type {Item[]} */ items) {
  /** @type {Map<string, number>} */
  const sums = new Map();
  for (const { signals } of items) {
    for (const [name, value] of Object.entries(signals)) sums.set(name, (sums.get(name) ?? 0) + Math.abs(value));
  }
  const last = (/** @type {string} */ name) => Number(NO_SIGNALS.includes(name));
  return [...sums.keys()].sort((a, b) => last(a) - last(b) || (sums.get(b) ?? 0) - (sums.get(a) ?? 0));
}

/**
 * @param {Answer} answer
 * @param {Answer | null} before the same without anything taken away, where something is.
 */
export function listOfItems(answer, before) {
  const { items, degraded } = answer;
  const signals = signalsOf(items);
  const parts = new Map(items.map((item) => [item, /** @type {[string, number][]} */ (
    signals.filter((name) => name in item.signals).map((name) => [name, item.signals[name]]))]));
  const scale = scaleOf([...parts.values()]);
  const certain = !degraded.length && !before?.degraded.length;
  const old = before && certain ? new Map(before.items.map(({ item_id: id, rank }) => [id, rank])) : null;
  const rows = sorted(items).map((item) => rowOf(item, degraded, bar(parts.get(item) ?? [], scale), old, before));
  const gone = old ? goneOf(items, before, current().k) : h('p', { class: 'none' }, 'What rose, fell or left the list is not known: Neo4j did not answer.');
  return h('div', {}, legend(signals), head(), h('ol', { class: 'items' }, rows), before && gone);
}

/** What stands in the columns of the list; screen readers have it in each row. */
const head = () => h('div', { class: 'head', 'aria-hidden': 'true' },
  h('span', { class: 'rank' }, 'Rank'), h('span', {}, 'Item'), h('span', { class: 'bar-head' }, 'What adds to the score'),
  h('span', { class: 'score' }, 'Score'), h('span', { class: 'fold-head' }));

/** @param {Item[]} items */
function sorted(items) {
  const { sort } = current();
  const name = (/** @type {Item} */ item) => item.title ?? item.item_id;
  if (sort === 'title') return [...items].sort((a, b) => name(a).localeCompare(name(b)));
  if (!sort.startsWith('signal:')) return items;
  const signal = sort.slice('signal:'.length);
  return [...items].sort((a, b) => (b.signals[signal] ?? 0) - (a.signals[signal] ?? 0));
}

/**
 * @param {Item} item
 * @param {string[]} degraded what could not be read.
 * @param {Element} drawn
 * @param {Map<string, number> | null} old
 * @param {Answer | null} before
 */
function rowOf(item, degraded, drawn, old, before) {
  const id = `why-${item.rank}`;
  const place = h('div', { id, class: 'why' });
  const button = h('button', {
    type: 'button', class: 'row', 'aria-controls': id, 'data-item': item.item_id,
    onclick: () => go({ open: isOpen(item) ? '' : item.item_id }),
  },
  h('span', { class: 'rank' }, item.rank),
  h('span', { class: 'title' }, h('b', { title: item.title ?? item.item_id }, item.title ?? item.item_id), old && moveOf(item, old, before),
    h('small', {}, item.explanation.text)),
  drawn, h('span', { class: 'score', title: 'Score' }, score(item.score)), h('i', { class: 'fold', 'aria-hidden': 'true' }));
  const row = h('li', {}, h('h3', {}, button), place);
  unfold(row, item, degraded);
  return row;
}

/**
 * Show the explanation of the open item, and hide the others.
 * @param {Element} list
 * @param {Answer} answer
 * @param {{anew?: boolean}} [how] `anew` draws one again that is shown already.
 */
export function unfoldAll(list, { items, degraded }, { anew = false } = {}) {
  list.querySelectorAll('.items > li').forEach((row) => {
    if (anew) row.querySelector('.why')?.replaceChildren();
    const id = row.querySelector('.row')?.getAttribute('data-item');
    const item = items.find((each) => each.item_id === id);
    if (item) unfold(row, item, degraded);
  });
}

/** Whether the explanation of an item is shown: of the first, until another is chosen. @param {Item} item */
function isOpen({ item_id: id, rank }) {
  const { open } = current();
  return open === null ? rank === 1 : open === id;
}

/** @param {Element} row @param {Item} item @param {string[]} degraded */
function unfold(row, item, degraded) {
  const shown = isOpen(item);
  const place = /** @type {Element} */ (row.querySelector('.why'));
  row.classList.toggle('open', shown);
  row.querySelector('.row')?.setAttribute('aria-expanded', String(shown));
  if (shown && !place.hasChildNodes()) place.append(detailOf(item, degraded));
  else if (!shown) place.replaceChildren();
}

/**
 * How an item moved.
 * @param {Item} item
 * @param {Map<string, number>} old ranks by id.
 * @param {Answer | null} before
 */
export function moveOf(item, old, before) {
  const was = old.get(item.item_id);
  if (was === undefined) return h('em', { class: 'move new' }, `new: not among the first ${before?.k}`);
  const up = was - item.rank;
  if (up > 0) return h('em', { class: 'move up' }, `▲ ${up} from ${was}`);
  return up < 0 ? h('em', { class: 'move down' }, `▼ ${-up} from ${was}`) : h('em', { class: 'move' }, '=');
}

/**
 * Those that were in the list and are no longer.
 * @param {Item[]} items
 * @param {Answer | null} before
 * @param {number} k how long the list is.
 */
export function goneOf(items, before, k) {
  const here = new Set(items.map(({ item_id: id }) => id));
  const gone = (before?.items ?? []).filter(({ item_id: id, rank }) => rank <= k && !here.has(id));
  if (!gone.length) return h('p', { class: 'none' }, 'Nothing left the list.');
  return h('section', { class: 'gone' }, h('h3', {}, `Left the list: ${gone.length}`),
    h('ul', {}, gone.map(({ title, item_id: id, rank }) => h('li', {}, h('span', { class: 'rank' }, rank), title ?? id))));
}
