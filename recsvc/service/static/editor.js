/** A field for a JSON document that shows errors at their places. */

import { freshId, h, replace, say } from './dom.js';
import { lineOf, NoJson, placeOf, placesOf } from './jsonplaces.js';

/** @typedef {{start: number, end: number, text: string}} Fault */

/**
 * @param {string} label
 * @param {() => void} changed
 * @returns {{element: HTMLElement, read: () => string, write: (text: string) => void, faults: (found: Fault[]) => void,
 *   document: () => any, refused: (error: unknown, above: number) => boolean}}
 *   Nobody can write before the first `write`, which would mix with what they write. `document` is what is written, or
 *   undefined where it is no JSON, which is shown. `refused` shows what the service has against it at its places, of
 *   whose locations some parts lie above the document; false where that is nothing.
 */
export function jsonEditor(label, changed) {
  const told = h('ol', { id: freshId('faults'), class: 'faults', 'aria-label': 'What is wrong' });
  const behind = h('pre', { 'aria-hidden': 'true' });
  const field = h('textarea', {
    'aria-label': label, 'aria-describedby': told.id, spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off',
    readonly: true,
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

  function written() {
    try {
      placesOf(field.value);
      return JSON.parse(field.value);
    } catch (error) {
      const { at } = /** @type {NoJson} */ (error);
      faults([{ start: at, end: at + 1, text: /** @type {Error} */ (error).message }]);
      return undefined;
    }
  }

  /** @param {unknown} error @param {number} above */
  function refused(error, above) {
    const { errors = [] } = /** @type {{errors?: {location: (string | number)[], detail: string}[]}} */ (error);
    if (!errors.length) return false;
    const whole = placesOf(field.value);
    faults(errors.map(({ location, detail }) => {
      const inside = location.slice(above);
      return { ...placeOf(whole, inside), text: inside.length ? `${inside.join('.')}: ${detail}` : detail };
    }));
    say(`${errors.length} ${errors.length === 1 ? 'error' : 'errors'} in the document.`);
    return true;
  }

  return {
    element: h('div', {}, h('div', { class: 'editor' }, behind, field), told),
    read: () => field.value,
    write: (text) => { field.value = text; field.readOnly = false; faults([]); },
    faults,
    document: written,
    refused,
  };
}
