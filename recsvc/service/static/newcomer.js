/** Somebody new, of whom only what they pick is known. */

import { chipOf } from './controls.js';
import { h, replace } from './dom.js';
import { searchField } from './search.js';
import { anew, go } from './state.js';
import { called, remember, titleOf } from './titles.js';

const ENOUGH = 3;

/**
 * What somebody new picked, as evidence. How much each counts only the service knows.
 * @param {string[]} ids
 * @returns {Promise<import('./evidence.js').Piece[]>}
 */
export async function statedEvidence(ids) {
  const titles = await Promise.all(ids.map((id) => titleOf('item', id)));
  return ids.map((id, index) => ({ kind: 'item', id, title: titles[index], weight: null, interactions: [] }));
}

/** Pick three items. @param {Element} place */
export function newcomer(place) {
  /** @type {string[]} */
  const picked = [];
  const chips = h('ul', { class: 'chips', 'aria-label': 'Picked' });
  const ready = h('button', { type: 'button', class: 'primary', disabled: true, onclick: () => go({ ...anew, view: 'recommendations', item: picked }) });
  const field = searchField({
    what: 'items', label: 'Something they like', placeholder: 'A title',
    chosen: ({ id, title }) => {
      remember(`item:${id}`, title ?? id);
      if (!picked.includes(id)) picked.push(id);
      update();
    },
  });

  function update() {
    const missing = Math.max(0, ENOUGH - picked.length);
    replace(chips, picked.map((id, index) => chipOf(called(`item:${id}`), 'Not this', () => {
      picked.splice(index, 1);
      update();
    })));
    ready.disabled = missing > 0;
    ready.textContent = missing ? `Pick ${missing} more` : 'Recommend';
  }

  replace(place, h('section', { class: 'start' },
    h('h2', {}, 'Someone new'),
    h('p', {}, `Pick ${ENOUGH} items that they like. Nothing is stored.`), field, chips, ready));
  update();
  field.querySelector('input')?.focus();
}
