/** Two lists for one person, side by side: of two versions, or of two signals. */

import { answer, explored, listOf } from './api.js';
import { choicesFor, offer } from './choices.js';
import { copyButton, curlOf } from './copy.js';
import { freshId, h, labelled, replace, say, svg, trouble } from './dom.js';
import { count, score } from './format.js';
import { current, go } from './state.js';

/** @typedef {import('./state.js').State} State */
/** @typedef {import('./list.js').Item} Item */

const ROW = 40;
const GAP = 96;

/**
 * The view, in a place of the page.
 * @param {Element} place
 * @param {State} first
 * @returns {(state: State) => void} to be told of each change.
 */
export function compare(place, first) {
  const left = h('select', { onchange: () => go({ by: left.value }) });
  const right = h('select', { onchange: () => go({ other: right.value }) });
  const size = h('select', { onchange: () => go({ k: Number(size.value) }) },
    [5, 10, 20, 50].map((each) => h('option', { value: each }, each)));
  const body = h('div', { class: 'list' });
  replace(place, h('section', { class: 'compare' },
    h('div', { class: 'heading' }, h('h2', {}, `Two lists for ${first.user ?? 'someone new'}`)),
    h('div', { class: 'controls' },
      labelled('Left', left), labelled('Right', right), labelled('Show', size),
      h('span', { class: 'copies' }, copyButton('Copy link', () => location.href))),
    body));
  let asking = new AbortController();

  /** @param {State} state */
  async function load(state) {
    left.value = state.by;
    right.value = state.other;
    size.value = String(state.k);
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    body.setAttribute('aria-busy', 'true');
    /** A request for what is shown. @param {string} by @param {import('./list.js').Answer} [found] */
    const again = (by, found) => listOf({ ...state, by, without: [] }, { explain: 'none', ...(found && explored(found)) });
    const asks = [state.by, state.other].map((by) => again(by));
    try {
      const [a, b] = await Promise.all(asks.map((ask) => answer(ask, signal)));
      replace(body, sideBySide(a, b, [again(state.by, a), again(state.other, b)]));
    } catch (error) {
      if (signal.aborted) return;
      replace(body, trouble(error, () => load(current())));
    }
    body.removeAttribute('aria-busy');
  }

  /** @param {State} state */
  async function start(state) {
    try {
      const choices = await choicesFor(state);
      const other = state.other || choices.at(-1)?.value || '';
      offer(left, choices, state.by);
      offer(right, choices, other);
      if (other !== state.other) go({ other }, { quietly: true });
      else load(state);
    } catch (error) {
      replace(body, trouble(error, () => start(current())));
    }
  }

  /** @param {import('./list.js').Answer} a @param {import('./list.js').Answer} b @param {import('./api.js').Ask[]} asks */
  function sideBySide(a, b, asks) {
    const [ranksA, ranksB] = [a, b].map(({ items }) => new Map(items.map(({ item_id: id, rank }) => [id, rank])));
    const both = a.items.filter(({ item_id: id }) => ranksB.has(id));
    const told = `${both.length} of ${Math.max(a.items.length, b.items.length)} are in both lists`;
    say(told);
    return h('div', {},
      h('p', { class: 'status' }, h('b', {}, told), ` · left ${a.took_ms.toFixed(1)} ms, right ${b.took_ms.toFixed(1)} ms. `,
        'Scores of two signals are not on one scale: compare the ranks.'),
      h('div', { class: 'sides' },
        columnOf(textOf(left), a.items, ranksB, asks[0]), linesOf(ranksA, ranksB, both.length),
        columnOf(textOf(right), b.items, ranksA, asks[1])));
  }

  start(first);
  return load;
}

/** What a field to choose with shows. @param {HTMLSelectElement} select */
const textOf = (select) => select.selectedOptions[0]?.textContent ?? '';

/**
 * @param {string} title
 * @param {Item[]} items
 * @param {Map<string, number>} others the ranks in the other list.
 * @param {import('./api.js').Ask} ask
 */
function columnOf(title, items, others, ask) {
  const id = freshId('side');
  return h('section', { 'aria-labelledby': id },
    h('h3', { id }, title),
    h('ol', {}, items.map((item) => {
      const there = others.get(item.item_id);
      return h('li', { class: there === undefined ? '' : 'both' },
        h('span', { class: 'rank' }, item.rank), h('span', { class: 'title' }, item.title ?? item.item_id),
        h('small', {}, there === undefined ? 'only here' : moved(there - item.rank, there)),
        h('span', { class: 'score' }, score(item.score)));
    })),
    copyButton('Copy curl', () => curlOf(ask)));
}

/** @param {number} by @param {number} there */
const moved = (by, there) => (by ? `there ${count(there)}` : 'same rank');

/**
 * Lines between the ranks of what is in both.
 * @param {Map<string, number>} a
 * @param {Map<string, number>} b
 * @param {number} shared
 */
function linesOf(a, b, shared) {
  const height = ROW * Math.max(a.size, b.size, 1);
  const y = (/** @type {number} */ rank) => ROW * (rank - 0.5);
  const drawing = svg('svg', { viewBox: `0 0 ${GAP} ${height}`, width: GAP, height, role: 'img', 'aria-label': `${shared} lines from left to right` });
  for (const [id, rank] of a) {
    const other = b.get(id);
    if (other === undefined) continue;
    drawing.append(svg('path', {
      d: `M4 ${y(rank)}C${GAP / 2} ${y(rank)} ${GAP / 2} ${y(other)} ${GAP - 4} ${y(other)}`,
      class: rank === other ? 'same' : 'moved',
    }));
  }
  return h('div', { class: 'lines' }, drawing);
}
