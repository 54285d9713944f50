/** Bars of signed parts: what adds to a score goes to the right of a line, what takes to the left. */

import { h } from './dom.js';
import { signed, words } from './format.js';
import { SCORE, meaningOf } from './meaning.js';

/** @typedef {[name: string, value: number][]} Parts */

/** The signals that are shipped; each has a colour of its own, always the same. */
const SHIPPED = [
  'ridge', 'lightgcn', 'pagerank', 'item_user_item', 'item_category_item', 'node2vec',
  'followed_user_item', 'category_item',
];
/** Colours for models and meta-paths beside them. */
const OTHERS = 6;
const BASE = 'base';
/** The least share of a scale that can be seen. */
const LEAST = 0.003;

/** Other signals, in the order of the colours they have. @type {string[]} */
const others = [];

/** The class that gives a signal its colour, the same everywhere. @param {string} signal */
export function colourOf(signal) {
  if (signal === BASE) return 'signal base';
  const shipped = SHIPPED.indexOf(signal);
  if (shipped >= 0) return `signal s${shipped}`;
  if (!others.includes(signal)) others.push(signal);
  return `signal o${others.indexOf(signal) % OTHERS}`;
}

/**
 * The scale on which some bars are drawn.
 * @param {Parts[]} bars
 * @returns {{least: number, most: number}}
 */
export function scaleOf(bars) {
  /** @param {1 | -1} sign @param {Parts} parts */
  const sum = (sign, parts) => parts.reduce((all, [, v]) => all + Math.max(0, sign * v), 0);
  return {
    least: Math.max(0, ...bars.map((parts) => sum(-1, parts))),
    most: Math.max(1e-9, ...bars.map((parts) => sum(1, parts))),
  };
}

/**
 * One bar, a part for each signal.
 * @param {Parts} parts
 * @param {{least: number, most: number}} scale
 */
export function bar(parts, { least, most }) {
  const whole = least + most;
  const label = parts.map(([name, value]) => `${words(name)} ${signed(value)}`).join(', ');
  const left = h('span', { class: 'less' });
  const right = h('span', { class: 'more' });
  left.style.width = `${(100 * least) / whole}%`;
  right.style.width = `${(100 * most) / whole}%`;
  for (const [name, value] of parts) {
    if (Math.abs(value) < LEAST * whole) continue;
    const part = h('i', { class: colourOf(name), title: `${words(name)} ${signed(value)}` });
    part.style.width = `${(100 * Math.abs(value)) / (value < 0 ? least : most)}%`;
    (value < 0 ? left : right).append(part);
  }
  return h('span', { class: least ? 'bar both' : 'bar', role: 'img', 'aria-label': label }, least ? left : null, right);
}

/** What the colours mean, and what the numbers are. @param {string[]} signals */
export function legend(signals) {
  [...signals].sort().forEach(colourOf); // in this order on every visit
  const swatch = (/** @type {string} */ name) => h('i', { class: colourOf(name) });
  return h('div', { class: 'key' },
    h('ul', { class: 'legend', 'aria-label': 'Signals' },
      signals.map((name) => h('li', { title: meaningOf(name) }, swatch(name), words(name)))),
    h('details', { class: 'meaning' },
      h('summary', {}, 'What do the score and the colours mean?'),
      h('p', {}, SCORE),
      h('dl', {}, signals.map((name) => [h('dt', {}, swatch(name), words(name)), h('dd', {}, meaningOf(name))]).flat())));
}
