/** Bars of signed parts: what adds to a score goes to the right of a line, what takes to the left. */

import { h } from './dom.js';
import { signed, words } from './format.js';

/** @typedef {[name: string, value: number][]} Parts */

const COLOURS = 8;
const BASE = 'base';
/** The least share of a scale that can be seen. */
const LEAST = 0.003;

/** Names of signals, in the order of the colours they have. @type {string[]} */
const known = [];

/** The class that gives a signal its colour, the same everywhere. @param {string} signal */
export function colourOf(signal) {
  if (signal === BASE) return 'signal base';
  if (!known.includes(signal)) known.push(signal);
  return `signal s${known.indexOf(signal) % COLOURS}`;
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

/** What the colours mean. @param {string[]} signals */
export function legend(signals) {
  return h('ul', { class: 'legend', 'aria-label': 'Signals' },
    signals.map((name) => h('li', {}, h('i', { class: colourOf(name) }), words(name))));
}
