/** The page of a person, opened by a link: what is known about them, what they see, and why. */

import { answer, get } from './api.js';
import { h, replace, say, trouble } from './dom.js';
import { evidenceList, summaryOf } from './evidence.js';
import { keyOf, moment, nameOf } from './format.js';
import { showLink } from './key.js';
import { listOfMine, titleOf } from './mine.js';
import { OF_YOU, deletion, derived, propertiesOf, saveButton, whatToRemove } from './mydata.js';

/** @typedef {import('./evidence.js').Piece} Piece */
/** @typedef {import('./list.js').Answer} Answer */
/** @typedef {import('./list.js').Item} Item */

const REFUSED = 401;
const UNKNOWN = 404;
const HIDE = 'hide';
/** How what stands behind the # of a link begins. */
const FIRST = 'recsvc_person_';

const main = /** @type {HTMLElement} */ (document.getElementById('main'));
const notice = h('div', { tabindex: -1, class: 'notice', role: 'group', 'aria-label': 'What was changed' });
const list = h('div', { class: 'list' });
const evidence = h('div', {});
/** What their list is made under, as in the place of the shop that the link was made for. */
const scenario = new URLSearchParams(location.search).get('scenario');

/** The list that is shown. @type {Answer | null} */
let shown = null;
/** How often each was asked for: what was asked for last is shown, whatever comes last. */
const asks = { list: 0, evidence: 0 };

/** Show that the link opens nothing. @param {string} title @param {string} text */
function ended(title, text) {
  asks.list += 1;
  asks.evidence += 1;
  document.title = title;
  replace(main, h('section', { class: 'start' }, h('h1', { tabindex: -1 }, title), h('p', {}, text)));
  /** @type {HTMLElement} */ (main.querySelector('h1')).focus();
}

/**
 * What went wrong in a part of the page; where the link opens nothing any more, all of it ends.
 * @param {Element} place
 * @param {any} error
 * @param {() => void} again
 */
function failed(place, error, again) {
  if (error.status === REFUSED) ended('This link opens nothing', error.message);
  else replace(place, trouble(error, again));
}

/** @param {{user_id: string, expires_at: string, properties: Object<string, any>}} me */
function show({ user_id: user, expires_at: end, properties }) {
  const called = properties.name ?? user;
  replace(main,
    h('header', {}, h('h1', {}, 'What is known about you'),
      h('p', { class: 'none' }, 'You are ', h('bdi', {}, called), ` here. Everybody who has this link sees this page, until ${moment(end)}.`)),
    h('section', { class: 'panel', 'aria-labelledby': 'list-title' },
      h('h2', { id: 'list-title' }, 'What you are recommended, and why'), notice, list),
    h('section', { class: 'panel', 'aria-labelledby': 'evidence-title' },
      h('h2', { id: 'evidence-title', tabindex: -1 }, 'What is known'), propertiesOf(properties), evidence, derived()),
    h('section', { class: 'panel', 'aria-labelledby': 'save-title' },
      h('h2', { id: 'save-title' }, 'Take it with you'),
      h('p', {}, 'One file with all that is stored about you and all that was derived from it.'), saveButton(user)),
    h('section', { class: 'panel', 'aria-labelledby': 'delete-title' },
      h('h2', { id: 'delete-title' }, 'Delete it all'),
      deletion(() => ended('You are deleted', 'Nothing of you is left here, and this link opens nothing any more.'))));
  loadList(null);
  loadEvidence();
}

/** @param {Answer | null} before */
async function loadList(before) {
  const asked = ++asks.list;
  list.setAttribute('aria-busy', 'true');
  try {
    const now = /** @type {Answer} */ (await get(`v1/me/recommendations${scenario === null ? '' : `?${new URLSearchParams({ scenario })}`}`));
    if (asked !== asks.list) return;
    shown = now;
    replace(list,
      now.degraded.length > 0 && h('p', { class: 'note bad', role: 'alert' }, `Not all could be read just now, so this is left out: ${now.degraded.join(', ')}.`),
      now.items.length > 0 && listOfMine(now, before, hide), now.short && h('p', { class: 'note' }, now.short));
    say(`${now.items.length} recommendations.`);
  } catch (error) {
    if (asked !== asks.list) return;
    failed(list, error, () => loadList(before));
  }
  list.removeAttribute('aria-busy');
}

async function loadEvidence() {
  const asked = ++asks.evidence;
  try {
    const { evidence: pieces, seen } = /** @type {{evidence: Piece[], seen: number}} */ (await get('v1/me/evidence'));
    if (asked !== asks.evidence) return;
    const found = evidenceList(pieces, (key) => remove(/** @type {Piece} */ (pieces.find((piece) => keyOf(piece) === key))), OF_YOU);
    replace(evidence, h('p', { class: 'none' }, pieces.length
      ? `${summaryOf(pieces, seen)}. What counts more than 0 speaks for items like it, what counts less speaks against them.`
      : 'Nothing that you did is known, so you get what is popular.'), pieces.length > 0 && found.element);
  } catch (error) {
    if (asked !== asks.evidence) return;
    failed(evidence, error, loadEvidence);
  }
}

/**
 * Change something, tell what was changed, and show the list as it is then.
 * @param {import('./api.js').Ask} ask
 * @param {string} done
 * @param {import('./api.js').Ask} [undo]
 */
async function change(ask, done, undo) {
  const before = shown;
  try {
    await answer(ask);
  } catch (error) {
    failed(notice, error, () => change(ask, done, undo));
    return;
  }
  replace(notice, h('div', { class: 'note' }, h('p', {}, done),
    undo && h('button', { type: 'button', onclick: () => change(undo, 'It is as it was before.') }, 'Undo')));
  notice.focus();
  await Promise.all([loadList(before), loadEvidence()]);
}

/** @param {Piece} piece */
async function remove(piece) {
  const part = await whatToRemove(piece);
  if (part === null) return;
  const query = new URLSearchParams({ evidence: keyOf(piece), ...part });
  const what = part.event === undefined ? nameOf(piece) : `${part.event} of ${nameOf(piece)}`;
  change({ method: 'DELETE', path: `v1/me/evidence?${query}` }, `Removed: ${what}. The list shows what that changed.`);
}

/** @param {Item} item */
function hide(item) {
  const back = new URLSearchParams({ evidence: `item:${item.item_id}`, event: HIDE });
  change({ method: 'POST', path: 'v1/me/hidden', body: { item_id: item.item_id } },
    `Hidden: ${titleOf(item)}. It comes back to none of your lists.`, { method: 'DELETE', path: `v1/me/evidence?${back}` });
}

async function begin() {
  const link = location.hash.slice(1);
  if (!link.startsWith(FIRST)) {
    ended('A link is missing', 'This page opens with the whole link that you were given, with all that follows the # in it.');
    return;
  }
  showLink(link);
  try {
    show(await get('v1/me'));
  } catch (error) {
    const { status } = /** @type {{status?: number}} */ (error);
    if (status === UNKNOWN) ended('You are not here', 'Whom this link is for was deleted, so it opens nothing any more.');
    else failed(main, error, begin);
  }
}

addEventListener('hashchange', () => location.reload());
begin();
