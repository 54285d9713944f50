/** Why one item: the sentence, the paths, what adds up to the score, and what would change it. */

import { bar, colourOf, scaleOf } from './bars.js';
import { copyButton } from './copy.js';
import { h } from './dom.js';
import { keyOf, nameOf, score, shortened, signed, words } from './format.js';
import { graphOf } from './graph.js';
import { linkToItem } from './link.js';
import { meaningOf } from './meaning.js';
import { current, go } from './state.js';
import { titleOf } from './titles.js';

/** @typedef {import('./list.js').Item} Item */

const FIRST_ROWS = 6;
const LONGEST = 80;
const NO_PATHS = 'No path of the graph is among the reasons.';
const NOT_READ = 'Not known: Neo4j did not answer in time.';

/**
 * @param {Item} item
 * @param {string[]} degraded what could not be read.
 */
export function detailOf(item, degraded) {
  const { text, paths, counterfactual, cypher } = item.explanation;
  const whole = paths !== undefined;
  const unread = degraded.includes('evidence') || degraded.includes('paths');
  return h('div', { class: 'detail', 'data-whole': whole },
    h('p', { class: 'they-read' }, 'What they are told'),
    h('p', { class: 'sentence' }, text),
    sumsOf(item),
    h('h4', {}, 'Paths in the graph'),
    paths?.length ? graphOf(paths, item.title ?? item.item_id) : h('p', { class: 'none' }, !whole ? 'Reading…' : unread ? NOT_READ : NO_PATHS),
    counterfactual ? counterfactualOf(counterfactual)
      : whole && !degraded.length && h('p', { class: 'counterfactual' }, 'No set of up to five pieces of evidence was found without which it would leave this list.'),
    h('p', { class: 'copies' },
      linkToItem(item.item_id, 'About this item'),
      cypher && copyButton('Copy as Cypher', () => cypher),
      whole && copyButton('Copy link to this', () => location.href)));
}

/** What adds up to the score of an item, told in two ways. @param {Item} item */
export const sumsOf = (item) => h('div', { class: 'columns' },
  h('section', {}, h('h4', {}, 'By signal'), signalsOf(item)),
  h('section', {}, h('h4', {}, 'By evidence'), partsOf(item)));

/** What each signal adds, the largest first. @param {Item} item */
function signalsOf({ signals }) {
  const sorted = Object.entries(signals).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  return h('table', { class: 'parts' }, headOf('Signal', 'Adds'),
    h('tbody', {}, sorted.map(([name, value]) => h('tr', {},
      h('th', { scope: 'row', title: meaningOf(name) }, h('i', { class: colourOf(name) }), words(name)), h('td', {}, signed(value))))));
}

/** @param {...string} names */
const headOf = (...names) => h('thead', {}, h('tr', {}, names.map((name) => h('th', { scope: 'col' }, name))));

/** @param {Item} item */
function partsOf(item) {
  const { contributions, remainder } = item.explanation;
  /** @type {Map<string, {name: string, parts: [string, number][], sum: number}>} */
  const byEvidence = new Map();
  for (const { signal, evidence, value } of contributions) {
    const row = byEvidence.get(keyOf(evidence)) ?? { name: nameOf(evidence), parts: [], sum: 0 };
    row.parts.push([signal, value]);
    row.sum += value;
    byEvidence.set(keyOf(evidence), row);
  }
  const rows = [...byEvidence.values()].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  const scale = scaleOf([...rows.map(({ parts }) => parts)]);
  const body = h('tbody', {}, rows.slice(0, FIRST_ROWS).map((row) => rowOf(row, scale)));
  const more = rows.length > FIRST_ROWS && h('button', {
    type: 'button', class: 'quiet',
    onclick: () => { body.append(...rows.slice(FIRST_ROWS).map((row) => rowOf(row, scale))); more.remove(); },
  }, `Show ${rows.length - FIRST_ROWS} more`);
  return h('div', {},
    h('table', { class: 'parts' },
      h('caption', { class: 'unseen' }, 'What each piece of evidence adds'),
      headOf('Evidence', 'By signal', 'Adds'),
      body,
      h('tfoot', {},
        h('tr', {}, h('th', { scope: 'row', colspan: 2 }, 'all else, and how popular it is'), h('td', {}, signed(remainder))),
        h('tr', { class: 'total' }, h('th', { scope: 'row', colspan: 2 }, 'score'), h('td', {}, score(item.score))))),
    more);
}

/**
 * @param {{name: string, parts: [string, number][], sum: number}} row
 * @param {{least: number, most: number}} scale
 */
function rowOf({ name, parts, sum }, scale) {
  return h('tr', {}, h('th', { scope: 'row', title: name }, name), h('td', {}, bar(parts, scale)), h('td', {}, signed(sum)));
}

/**
 * @param {{without: {kind: string, id: string | null, title: string | null}[], replaced_by: string}} found
 */
function counterfactualOf({ without, replaced_by: other }) {
  const named = new Intl.ListFormat('en').format(without.map((node) => shortened(nameOf(node), LONGEST)));
  const instead = h('b', {}, other);
  titleOf('item', other).then((title) => { instead.textContent = shortened(title, LONGEST); }, () => {}); // else its id stays
  const away = () => go({ without: [...new Set([...current().without, ...without.map(keyOf)])] });
  return h('p', { class: 'counterfactual' },
    h('span', {}, 'Without ', h('b', {}, named), ' it would not be in this list, and ', instead, ' would.'),
    h('button', { type: 'button', onclick: away }, 'See that list'));
}
