/** The home of a user: rows with titles, each item with its reasons. */

import { answer, homeOf } from './api.js';
import { bar, legend, scaleOf } from './bars.js';
import { copyButton, curlOf } from './copy.js';
import { sumsOf } from './detail.js';
import { freshId, h, replace, say, trouble } from './dom.js';
import { count } from './format.js';
import { linkToItem } from './link.js';
import { signalsOf } from './list.js';

/** @typedef {import('./state.js').State} State */
/** @typedef {import('./list.js').Item} Item */
/** @typedef {{kind: string, title: string, evidence: import('./list.js').Ref | null, items: Item[]}} Row */

/** Why the items of a row stand in it. @type {Object<string, string>} */
const WHY = {
  because: 'Of these items it carries more of the score than anything else that they like.',
  people: 'The people whom they follow carry the most of these scores.',
  new: 'The best for them of what came in the last 30 days.',
  popular: 'What most people like. Nothing that they did counts here.',
};

/**
 * The view, in a place of the page.
 * @param {Element} place
 * @param {State} state
 */
export function home(place, state) {
  const user = /** @type {string} */ (state.user);
  const ask = homeOf(user);
  const status = h('p', { class: 'status' });
  const body = h('div', { class: 'list' }, h('p', { class: 'none' }, 'Reading…'));
  replace(place, h('section', { class: 'panel' },
    h('div', { class: 'heading' }, h('h2', {}, `Home of ${user}`), status,
      h('span', { class: 'copies' }, copyButton('Copy link', () => location.href), copyButton('Copy curl', () => curlOf(ask)))),
    body));

  async function load() {
    try {
      const { rows, took_ms: took, degraded } = /** @type {{rows: Row[], took_ms: number, degraded: string[]}} */ (await answer(ask));
      const items = rows.flatMap((row) => row.items);
      replace(status, `${count(items.length)} items in ${count(rows.length)} rows, no item twice · ${took.toFixed(1)} ms`);
      replace(body,
        degraded.length > 0 && h('p', { class: 'note bad', role: 'alert' }, `Neo4j did not answer in time, so this is left out: ${degraded.join(', ')}.`),
        items.length ? legend(signalsOf(items)) : h('p', { class: 'none' }, 'There are not three items for any row.'),
        rows.map(shelfOf));
      say(`${rows.length} rows with ${items.length} items.`);
    } catch (error) {
      replace(body, trouble(error, load));
    }
  }
  load();
}

/** @param {Row} row */
function shelfOf({ kind, title, items }) {
  const id = freshId('row');
  const names = signalsOf(items);
  const parts = items.map(({ signals }) => /** @type {[string, number][]} */ (
    names.filter((name) => name in signals).map((name) => [name, signals[name]])));
  const scale = scaleOf(parts);
  const why = h('li', { class: 'detail', id: freshId('why') });
  /** @type {Element | null} */
  let opened = null;

  /** @param {Item} item @param {Element} button */
  function toggle(item, button) {
    opened?.setAttribute('aria-expanded', 'false');
    opened = opened === button ? null : button;
    opened?.setAttribute('aria-expanded', 'true');
    replace(why, h('h4', {}, nameOf(item)), h('p', { class: 'sentence' }, item.explanation.text), sumsOf(item), h('p', {}, linkToItem(item.item_id, 'About this item')));
    if (opened) button.closest('li')?.after(why);
    else why.remove();
  }

  return h('section', { class: 'shelf', 'aria-labelledby': id },
    h('h3', { id }, title), h('p', { class: 'none' }, WHY[kind]),
    h('ol', { class: 'cards' }, items.map((item, index) => h('li', {},
      h('b', { title: nameOf(item) }, nameOf(item)),
      h('small', {}, item.explanation.text),
      bar(parts[index], scale),
      h('button', {
        type: 'button', class: 'quiet', 'aria-expanded': 'false', 'aria-controls': why.id, 'data-item': item.item_id,
        'aria-label': `Why ${nameOf(item)}`,
        onclick: (/** @type {Event} */ event) => toggle(item, /** @type {Element} */ (event.currentTarget)),
      }, 'Why')))));
}

/** @param {Item} item */
const nameOf = (item) => item.title ?? item.item_id;
