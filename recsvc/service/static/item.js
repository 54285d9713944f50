/** One item: what it is, who would get it and why, how often it is seen, what is like it. */

import { audienceOf, get, itemOf, similarTo } from './api.js';
import { bar, legend, scaleOf } from './bars.js';
import { copyButton } from './copy.js';
import { sumsOf } from './detail.js';
import { h, replace, trouble } from './dom.js';
import { ago, count, moment, percent, score } from './format.js';
import { linkToItem, linkToUser } from './link.js';
import { signalsOf } from './list.js';
import { searchField } from './search.js';
import { go } from './state.js';
import { called, titleOf } from './titles.js';

/** @typedef {import('./list.js').Item} Item */
/**
 * @typedef {{answers: {lists: number, holding: number}, outcomes: Object<string, number>,
 *   users: {user_id: string, item: Item}[]}} Audience
 */

const SEEN = 'How often it is seen';
const NAMED_CATEGORIES = 12;
/** What stands elsewhere than among the other properties. */
const TOLD = ['item_id', 'title', 'available', 'created_at', 'categories'];

/**
 * The view, in a place of the page.
 * @param {Element} place
 * @param {AbortSignal} _ending
 * @param {import('./state.js').State} state
 */
export function item(place, _ending, { about }) {
  const field = searchField({
    what: 'items', label: 'Look at an item', placeholder: 'Item: id or title',
    chosen: ({ id }) => go({ about: id }),
  });
  if (about === null) {
    replace(place, h('section', { class: 'start' },
      h('h2', {}, 'Which item?'),
      h('p', {}, 'See what it is, who would get it and why, how often it is seen, and what is like it.'), field));
    return;
  }
  const what = h('section', { class: 'panel' });
  const who = h('section', { class: 'panel' });
  const seen = h('section', { class: 'panel' });
  const near = h('section', { class: 'panel' });
  const others = h('div', { class: 'halves', hidden: true }, who, h('div', {}, seen, near));
  replace(place, h('div', { class: 'about' }, h('div', { class: 'find' }, field), what, others));
  fill(what, 'An item', () => get(itemOf(about)), (found) => {
    others.hidden = false;
    fill(near, 'What is like it', () => get(similarTo(about)), neighbours);
    fill(who, 'Who would get it', audience, (/** @type {Audience} */ answer) => receivers(about, answer));
    return whatItIs(about, found);
  });

  /** Tells how often it is seen too. @returns {Promise<Audience>} */
  async function audience() {
    seen.hidden = false;
    replace(seen, h('h2', {}, SEEN), h('p', { class: 'none' }, 'Reading…'));
    try {
      const found = await get(audienceOf(about ?? ''));
      replace(seen, h('h2', {}, SEEN), exposure(found));
      return found;
    } catch (error) {
      seen.hidden = true;
      throw error;
    }
  }
}

/**
 * Fill a part of the view once its answer is there.
 * @param {Element} part
 * @param {string} title
 * @param {() => Promise<any>} asked
 * @param {(found: any) => import('./dom.js').Child[]} drawn
 */
async function fill(part, title, asked, drawn) {
  replace(part, h('h2', {}, title), h('p', { class: 'none' }, 'Reading…'));
  try {
    replace(part, ...drawn(await asked()));
  } catch (error) {
    replace(part, h('h2', {}, title), trouble(error, () => fill(part, title, asked, drawn)));
  }
}

/** @param {string} id @param {Object<string, any>} found */
function whatItIs(id, found) {
  const { title, available, created_at: created, categories } = found;
  const others = Object.entries(found).filter(([name, value]) => !TOLD.includes(name) && value != null);
  const named = categories.slice(0, NAMED_CATEGORIES).map((/** @type {{category_id: string}} */ each) => categoryOf(each.category_id));
  const more = categories.length - named.length;
  return [
    h('div', { class: 'heading' }, h('h2', {}, String(title ?? id)),
      h('p', { class: 'status' },
        h('span', { class: available === false ? 'state failed' : 'state active' }, available === false ? 'not available' : 'available'), ` ${id}`,
        created != null && [' · came ', timeOf(String(created))]),
      h('span', { class: 'copies' }, copyButton('Copy link', () => location.href))),
    named.length > 0 && h('ul', { class: 'chips', 'aria-label': 'Categories' }, named, more > 0 && h('li', {}, `and ${count(more)} more`)),
    others.length > 0 && h('dl', { class: 'figures' }, others.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, [value].flat().join(', '))])),
  ];
}

/** @param {string} at */
const timeOf = (at) => (Number.isNaN(Date.parse(at)) ? at : h('time', { datetime: at, title: moment(at) }, ago(at)));

/** @param {string} id */
function categoryOf(id) {
  const chip = h('li', {}, called(`category:${id}`));
  titleOf('category', id).then((title) => { chip.textContent = title; }, () => {}); // else its id stays
  return chip;
}

/** @param {string} id @param {Audience} found */
function receivers(id, { users, answers }) {
  if (!users.length) {
    return [h('h2', {}, 'Who would get it'), h('p', { class: 'none' },
      `It is in no list of ${count(answers.lists)} people drawn by chance, and not among the first 100 items of up to 50 who have items like it.`)];
  }
  const items = users.map((each) => each.item);
  const names = signalsOf(items);
  const parts = items.map(({ signals }) => /** @type {[string, number][]} */ (
    names.filter((name) => name in signals).map((name) => [name, signals[name]])));
  const scale = scaleOf(parts);
  return [h('h2', {}, 'Who would get it'),
    h('p', { class: 'none' }, `In whose lists it stands first, of ${count(answers.lists)} people drawn by chance and up to 50 who have items like it.`),
    legend(names),
    h('div', { class: 'receivers' }, users.map(({ user_id: user, item: found }, index) => {
      const name = h('b', {}, called(`user:${user}`));
      titleOf('user', user).then((title) => { name.textContent = title; }, () => {}); // else the id stays
      return h('details', { 'data-user': user },
        h('summary', {}, h('span', { class: 'rank' }, h('span', { class: 'unseen' }, 'Place '), found.rank),
          h('span', { class: 'title' }, name, h('small', {}, found.explanation.text)), bar(parts[index], scale)),
        h('div', { class: 'detail' }, h('p', { class: 'sentence' }, found.explanation.text), sumsOf(found),
          h('p', {}, linkToUser(user, { open: id, k: found.rank > 10 ? 100 : 10 }, `The list of ${user}`))));
    }))];
}

/** @param {Audience} found */
function exposure({ answers: { lists, holding }, outcomes }) {
  const { impression: shown = 0, ...others } = outcomes;
  const rows = [
    ['in lists', `${count(holding)} of ${count(lists)}`, lists ? percent(holding / lists) : ''],
    ['shown', count(shown), ''],
    ...Object.entries({ click: 0, ...others }).map(([kind, number]) => [kind, count(number), shown ? percent(number / shown) : '']),
  ];
  return h('div', {},
    h('p', { class: 'none' }, 'Lists of 10 items, of people drawn by chance; what was shown and what followed in the last 30 days, with its share of what was shown.'),
    h('table', { class: 'grid exposure' },
      h('thead', { class: 'unseen' }, h('tr', {}, ['What', 'Number', 'Share'].map((name) => h('th', { scope: 'col' }, name)))),
      h('tbody', {}, rows.map(([name, number, share]) => h('tr', {}, h('th', { scope: 'row' }, name), h('td', { class: 'number' }, number), h('td', { class: 'number' }, share))))));
}

/** @param {{model: string, version: number, reason: string | null, items: {id: string, title: string | null, score: number}[]}} found */
function neighbours({ model, version, items, reason }) {
  return [h('h2', {}, 'What is like it'),
    h('p', { class: 'none' }, reason ?? `By the cosine of the vectors of ${model} ${version}.`),
    h('ol', { class: 'near' }, items.map(({ id, title, score: cosine }) => {
      const part = h('span', { class: 'took' });
      part.style.width = `${100 * Math.max(0, cosine)}%`;
      return h('li', {}, linkToItem(id, title ?? id), h('span', { class: 'track', 'aria-hidden': 'true' }, part), h('span', {}, score(cosine)));
    }))];
}
