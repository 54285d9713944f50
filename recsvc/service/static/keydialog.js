/** Asking for the API key. */

import { freshId, h, labelled } from './dom.js';
import { keepKey, WANTED } from './key.js';

/** Ask whenever a key is wanted, once at a time, and begin again with it. */
export function askWhenWanted() {
  document.addEventListener(WANTED, () => {
    if (!document.querySelector('dialog.key')) ask();
  });
}

function ask() {
  const id = freshId('key');
  const field = h('input', { type: 'password', required: true, autocomplete: 'off', spellcheck: 'false' });
  const dialog = h('dialog', { class: 'key', 'aria-labelledby': id },
    h('form', { method: 'dialog', onsubmit: use },
      h('h2', { id }, 'Which API key?'),
      h('p', {}, 'This service answers those who have a key. It stays in this tab until that is closed. An operator makes one with `recsvc keys create NAME`.'),
      labelled('API key', field),
      h('div', { class: 'buttons' },
        h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'),
        h('button', { class: 'primary' }, 'Use it'))));
  function use() {
    keepKey(field.value.trim());
    location.reload();
  }
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
