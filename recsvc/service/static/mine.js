/** The list of whoever looks at themselves: why each item is on it, and hiding one. */

import { bar, legend, scaleOf } from './bars.js';
import { sumsOf } from './detail.js';
import { freshId, h } from './dom.js';
import { nameOf, shortened } from './format.js';
import { graphOf } from './graph.js';
import { goneOf, moveOf, signalsOf } from './list.js';

/** @typedef {import('./list.js').Item} Item */
/** @typedef {import('./list.js').Answer} Answer */

const LONGEST = 80;

/**
 * @param {Answer} answer
 * @param {Answer | null} before the list until something was changed.
 * @param {(item: Item) => void} hide
 */
export function listOfMine(answer, before, hide) {
  const { items, degraded } = answer;
  const signals = signalsOf(items);
  const parts = items.map((item) => /** @type {[string, number][]} */ (
    signals.filter((name) => name in item.signals).map((name) => [name, item.signals[name]])));
  const scale = scaleOf(parts);
  const compared = before !== null && !degraded.length && !before.degraded.length;
  const old = compared ? new Map(before.items.map(({ item_id: id, rank }) => [id, rank])) : null;
  return h('div', {}, legend(signals),
    h('ol', { class: 'mine' }, items.map((item, index) => rowOf(item, bar(parts[index], scale), old && moveOf(item, old, before), hide))),
    compared && goneOf(items, before, before.k));
}

/** @param {Item} item @param {Element} drawn @param {Element | null} move @param {(item: Item) => void} hide */
function rowOf(item, drawn, move, hide) {
  const name = titleOf(item);
  const why = h('div', { id: freshId('why'), class: 'detail', hidden: true });
  const button = h('button', {
    type: 'button', class: 'quiet', 'aria-expanded': 'false', 'aria-controls': why.id, 'aria-label': `Why ${name}`, onclick: toggle,
  }, 'Why');
  function toggle() {
    if (!why.hasChildNodes()) why.append(...whyOf(item));
    why.hidden = !why.hidden;
    button.setAttribute('aria-expanded', String(!why.hidden));
  }
  return h('li', { 'data-item': item.item_id },
    h('span', { class: 'rank' }, item.rank),
    h('div', {}, h('h3', {}, name, move), h('p', {}, item.explanation.text), drawn),
    h('div', { class: 'buttons' }, button,
      h('button', { type: 'button', class: 'quiet', 'aria-label': `Hide ${name}`, onclick: () => hide(item) }, 'Hide')),
    why);
}

/** What adds up to the score, the paths, and what would change it. @param {Item} item @returns {Element[]} */
function whyOf(item) {
  const { paths, counterfactual } = item.explanation;
  const found = [sumsOf(item)];
  if (paths?.length) found.push(h('h4', {}, 'Paths from you to it'), graphOf(paths, titleOf(item)));
  if (counterfactual) {
    const named = new Intl.ListFormat('en').format(counterfactual.without.map((node) => shortened(nameOf(node), LONGEST)));
    found.push(h('p', { class: 'counterfactual' }, h('span', {}, 'Without ', h('b', {}, named), ' it would not be in this list.')));
  }
  return found;
}

/** @param {Item} item */
export const titleOf = ({ title, item_id: id }) => title ?? id;
