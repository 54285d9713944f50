/** What is stored and derived about whoever looks: removing it piece by piece, taking it along, deleting it. */

import { answer, fileOf, get } from './api.js';
import { freshId, h, labelled, replace, trouble } from './dom.js';
import { count, nameOf, score } from './format.js';

/** @typedef {import('./evidence.js').Piece} Piece */

const EXPORT = 'v1/me/export';
const WORD = 'delete';
const FIRST_NUMBERS = 3;

/** How the evidence speaks to the person it is about. @type {import('./evidence.js').Words} */
export const OF_YOU = {
  head: 'What you did', kinds: { item: 'item', user: 'person you follow', category: 'category you prefer' },
  button: (name) => `Remove ${name}`, title: 'Remove it',
};

/** What the shop stored of them. @param {Object<string, any>} properties */
export function propertiesOf(properties) {
  const stored = Object.entries(properties).filter(([, value]) => value !== null);
  return stored.length > 0 && h('dl', { class: 'figures' }, stored.map(([name, value]) => [
    h('dt', {}, name), h('dd', {}, typeof value === 'string' ? value : JSON.stringify(value))]).flat());
}

/**
 * Ask which part of a piece of evidence is to go; it cannot be brought back.
 * @param {Piece} piece
 * @returns {Promise<{event?: string} | null>} null where nothing is.
 */
export function whatToRemove(piece) {
  const id = freshId('ask');
  const kinds = piece.interactions.map(({ event }) => event);
  const which = h('select', {}, h('option', { value: '' }, 'all of it'), kinds.map((kind) => h('option', { value: kind }, kind)));
  const dialog = h('dialog', { 'aria-labelledby': id },
    h('form', { method: 'dialog' },
      h('h2', { id }, `Remove ${nameOf(piece)}?`),
      h('p', {}, 'It is removed for good, and counts in nothing that is shown to you from then on.'),
      kinds.length > 1 && labelled('Which part', which),
      h('div', { class: 'buttons' },
        h('button', { value: 'no' }, 'Cancel'),
        h('button', { value: 'yes', class: 'primary' }, 'Remove'))));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes' ? { ...(which.value && { event: which.value }) } : null);
    });
  });
}

/** What was derived, read when somebody wants to see it. */
export function derived() {
  const body = h('div', {});
  const fold = h('details', { ontoggle: read }, h('summary', {}, 'What was derived from it'), body);
  async function read() {
    if (!fold.open || body.hasChildNodes()) return;
    replace(body, h('p', { class: 'none' }, 'Reading…'));
    try {
      replace(body, ...derivedOf(await get(EXPORT)));
    } catch (error) {
      replace(body, trouble(error, () => { replace(body); read(); }));
    }
  }
  return fold;
}

/** @param {any} found @returns {Element[]} */
function derivedOf({ vectors, measured, events, outcomes, followers }) {
  const kept = [
    [events, 'events that a program sent'], [outcomes, 'notes of what followed lists that you were shown'], [followers, 'people who follow you'],
  ].filter(([list]) => list.length).map(([list, what]) => h('li', {}, `${count(list.length)} ${what}`));
  return [
    h('h3', {}, 'Vectors'),
    h('p', { class: 'none' }, vectors.length
      ? 'Models place people and items in a space of numbers, near what they are like. These are your places in it.'
      : 'No model has a place for you. It is learned at the next refresh.'),
    h('ul', {}, vectors.map(vectorOf)),
    measured.length > 0 && h('p', {}, `You were among those on whom version ${new Intl.ListFormat('en').format(
      measured.map((/** @type {any} */ { version, ndcg }) => `${version} (NDCG ${score(ndcg)})`))} was measured: how well a list foresaw what you did next.`),
    kept.length > 0 && h('h3', {}, 'Also kept'), h('ul', {}, kept),
    h('p', { class: 'none' }, 'The file below has all of it, number by number.'),
  ].filter(Boolean);
}

/** @param {{model: string | null, version: number | null, name: string, vector: any}} found */
function vectorOf({ model, version, name, vector }) {
  const numbers = Array.isArray(vector) ? vector : [vector];
  const first = numbers.slice(0, FIRST_NUMBERS).map((value) => (typeof value === 'number' ? score(value) : JSON.stringify(value)));
  const more = numbers.length > FIRST_NUMBERS ? ', …' : '';
  return h('li', {}, h('b', {}, model === null ? name : `${model} ${version}`), ` · ${count(numbers.length)} numbers: ${first.join(', ')}${more}`);
}

/** A button that saves all of it. @param {string} user */
export function saveButton(user) {
  const link = h('a', { download: `${user.replace(/[^\p{L}\p{N}_-]+/gu, '_').slice(0, 60)}.json`, hidden: true });
  const told = h('div', {});
  const button = h('button', { type: 'button', onclick: save }, 'Save all as a file');
  async function save() {
    button.disabled = true;
    replace(told);
    try {
      link.href = URL.createObjectURL(await fileOf(EXPORT));
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (error) {
      replace(told, trouble(error, save));
    }
    button.disabled = false;
  }
  return h('div', {}, button, link, told);
}

/**
 * Deleting oneself: a word has to be typed for it.
 * @param {() => void} gone
 */
export function deletion(gone) {
  const field = h('input', { type: 'text', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', oninput: typed });
  const button = h('button', { class: 'primary', disabled: true }, 'Delete me');
  const told = h('div', {});
  function typed() {
    button.disabled = field.value.trim().toLowerCase() !== WORD;
  }
  /** @param {Event} event */
  async function remove(event) {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    replace(told, h('p', { class: 'none', role: 'status' }, 'Deleting…'));
    try {
      await answer({ method: 'DELETE', path: 'v1/me' });
      gone();
    } catch (error) {
      replace(told, trouble(error));
      typed();
    }
  }
  return h('form', { class: 'delete', onsubmit: remove },
    h('p', {}, `You, all that you did here and all that was derived from it are removed. Nobody can bring it back, and this link ends. Type “${WORD}” to go on.`),
    h('div', { class: 'controls' }, labelled(`Type ${WORD}`, field), button), told);
}
