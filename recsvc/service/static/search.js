/** A field that suggests nodes while somebody types (WAI-ARIA: combobox with a list). */

import { search } from './api.js';
import { freshId, h, replace } from './dom.js';
import { count } from './format.js';

/** @typedef {{id: string, title: string | null, count: number}} Found */

const PAUSE_MS = 120;
const COUNTED = { users: 'items', items: 'interactions', categories: 'items' };

/**
 * @param {Object} options
 * @param {'users' | 'items' | 'categories'} options.what
 * @param {string} options.label
 * @param {string} options.placeholder
 * @param {(found: Found) => void} options.chosen
 * @param {boolean} [options.stays] whether the text stays when something is chosen.
 * @returns {HTMLElement}
 */
export function searchField({ what, label, placeholder, chosen, stays = false }) {
  const listId = freshId('found');
  const list = h('ul', { id: listId, role: 'listbox', 'aria-label': label, hidden: true });
  const note = h('p', { class: 'none', role: 'status' });
  const input = h('input', {
    type: 'search', role: 'combobox', 'aria-label': label, 'aria-expanded': 'false',
    'aria-controls': listId, 'aria-autocomplete': 'list', autocomplete: 'off', spellcheck: 'false',
    placeholder, oninput: typed, onkeydown: key, onblur: close, onfocus: typed,
  });
  /** @type {Found[]} */
  let found = [];
  /** The text that `found` was found for. @type {string | null} */
  let foundFor = null;
  /** Whether Enter was pressed before the answer came. */
  let wanted = false;
  let marked = -1;
  let timer = 0;
  let asking = new AbortController();

  function typed() {
    clearTimeout(timer);
    asking.abort();
    wanted = false;
    const text = input.value.trim();
    if (!text) close();
    else timer = setTimeout(() => look(text), PAUSE_MS);
  }

  /** @param {string} text */
  async function look(text) {
    asking = new AbortController();
    const { signal } = asking;
    try {
      found = await search(what, text, signal);
      foundFor = text;
      if (wanted && found.length) take(0);
      else if (document.activeElement === input) show(text);
    } catch (error) {
      if (signal.aborted) return;
      found = [];
      foundFor = null;
      close();
      note.textContent = /** @type {Error} */ (error).message;
    }
  }

  /** @param {string} text */
  function show(text) {
    replace(list, found.map((each, index) => h('li', {
      id: `${listId}-${index}`, role: 'option', 'aria-selected': 'false',
      onmousedown: (/** @type {Event} */ event) => { event.preventDefault(); take(index); },
    }, h('span', {}, each.title ?? each.id),
    h('small', {}, each.title ? `${each.id} · ` : '', `${count(each.count)} ${COUNTED[what]}`))));
    list.hidden = !found.length;
    input.setAttribute('aria-expanded', String(found.length > 0));
    note.textContent = found.length ? '' : `No ${what} for “${text}”. Try the beginning of an id or of a name.`;
    mark(found.length ? 0 : -1);
  }

  /** @param {number} index */
  function mark(index) {
    list.children[marked]?.setAttribute('aria-selected', 'false');
    marked = index;
    list.children[marked]?.setAttribute('aria-selected', 'true');
    list.children[marked]?.scrollIntoView({ block: 'nearest' });
    if (index < 0) input.removeAttribute('aria-activedescendant');
    else input.setAttribute('aria-activedescendant', `${listId}-${index}`);
  }

  function close() {
    clearTimeout(timer);
    asking.abort();
    list.hidden = true;
    note.textContent = '';
    input.setAttribute('aria-expanded', 'false');
    mark(-1);
  }

  /** Take what is marked; what was found for another text is not meant. */
  function enter() {
    const text = input.value.trim();
    if (text && text !== foundFor) {
      clearTimeout(timer);
      asking.abort();
      wanted = true;
      look(text);
    } else take(list.hidden ? 0 : marked);
  }

  /** @param {number} index */
  function take(index) {
    const taken = found[index];
    wanted = false;
    if (!taken) return;
    input.value = stays ? (taken.title ?? taken.id) : '';
    close();
    chosen(taken);
  }

  /** @param {KeyboardEvent} event */
  function key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === 'Escape') close();
    else if (event.key === 'Enter') enter();
    else if (step && !list.hidden) mark((marked + step + found.length) % found.length);
    else return;
    event.preventDefault();
  }

  return h('div', { class: 'search' }, input, list, note);
}
