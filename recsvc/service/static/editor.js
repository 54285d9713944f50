/** A field for a JSON document that shows errors at their places. */

import { freshId, h, replace } from './dom.js';
import { lineOf } from './jsonplaces.js';

/** @typedef {{start: number, end: number, text: string}} Fault */

/**
 * @param {string} label
 * @param {() => void} changed
 * @returns {{element: HTMLElement, read: () => string, write: (text: string) => void, faults: (found: Fault[]) => void}}
 */
export function jsonEditor(label, changed) {
  const told = h('ol', { id: freshId('faults'), class: 'faults', 'aria-label': 'What is wrong' });
  const behind = h('pre', { 'aria-hidden': 'true' });
  const field = h('textarea', {
    'aria-label': label, 'aria-describedby': told.id, spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off',
    oninput: () => { faults([]); changed(); },
  });

  /** @param {Fault[]} found */
  function faults(found) {
    field.setAttribute('aria-invalid', String(found.length > 0));
    const text = field.value;
    /** @type {import('./dom.js').Child[]} */
    const parts = [];
    let at = 0;
    for (const { start, end } of [...found].sort((a, b) => a.start - b.start)) {
      if (start < at) continue; // within one that is marked
      parts.push(text.slice(at, start), h('mark', {}, text.slice(start, end) || ' '));
      at = Math.max(end, start);
    }
    // What stands behind gives the field its height; a last line that is empty has one too.
    replace(behind, parts, `${text.slice(at)}\n`);
    replace(told, found.map(({ start, end, text: why }) => h('li', {},
      h('button', { type: 'button', class: 'quiet', onclick: () => { field.focus(); field.setSelectionRange(start, end); } }, `Line ${lineOf(text, start)}`),
      h('span', {}, why))));
  }

  return {
    element: h('div', {}, h('div', { class: 'editor' }, behind, field), told),
    read: () => field.value,
    write: (text) => { field.value = text; faults([]); },
    faults,
  };
}
