/** Documents of one kind: which are stored, and a form that begins a new one by its name. */

import { h, labelled, replace, trouble } from './dom.js';
import { go } from './state.js';

const LONGEST_NAME = 100;

/**
 * The list of them, in a place of the page.
 * @param {Element} place
 * @param {string} title
 * @param {string} meaning what such a document is for
 * @param {() => Promise<HTMLElement | null>} list those that are stored; null where none is
 */
export function documents(place, title, meaning, list) {
  const body = h('div', { class: 'list' }, h('p', { class: 'none' }, 'Reading…'));
  const name = h('input', { type: 'text', required: true, maxlength: LONGEST_NAME, autocomplete: 'off' });
  const begin = h('form', { class: 'controls', onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); if (name.value.trim()) go({ about: name.value.trim() }); } },
    labelled('A new one', name), h('button', {}, 'Write it'));
  replace(place, h('section', { class: 'panel' },
    h('div', { class: 'heading' }, h('h2', {}, title), begin), h('p', { class: 'none' }, meaning), body));

  async function load() {
    try {
      replace(body, await list() ?? h('p', { class: 'none' }, 'None is stored yet.'));
    } catch (error) {
      replace(body, trouble(error, load));
    }
  }
  load();
}
