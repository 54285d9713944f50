/** The page put together: who is looked at, and the view that the address names. */

import { randomUsers } from './api.js';
import { compare } from './compare.js';
import { h, replace, say, trouble } from './dom.js';
import { count } from './format.js';
import { experiments } from './experiments.js';
import { home } from './home.js';
import { item } from './item.js';
import { askWhenWanted } from './keydialog.js';
import { newcomer } from './newcomer.js';
import { recommendations } from './recommendations.js';
import { scenarios } from './scenarios.js';
import { searchField } from './search.js';
import { addressOf, anew, current, go, read, watch } from './state.js';
import { versions } from './versions.js';

/** @typedef {import('./state.js').State} State */

/** Users of whom those with the most items are examples. */
const DRAWN = 20;
const EXAMPLES = 3;
/** What is shown of somebody. @type {Object<string, (place: Element, state: State) => ((state: State) => void) | void>} */
const OF_SOMEBODY = { recommendations, home, compare };
/** What is shown of the service. @type {Object<string, (place: Element, ending: AbortSignal, state: State) => void>} */
const OF_ALL = { item, scenarios, experiments, versions };
const main = /** @type {HTMLElement} */ (document.getElementById('main'));
const who = /** @type {HTMLElement} */ (document.getElementById('who'));

/** Told of each change that needs no other view. @type {((state: State) => void) | void} */
let update;
/** What to end when another view is shown. @type {AbortController} */
let ending = new AbortController();

/** @param {string} id */
const lookAt = (id) => go({ ...anew, user: id, view: current().view in OF_SOMEBODY ? current().view : 'recommendations' });

async function random() {
  try {
    const [user] = await randomUsers(1);
    if (user) lookAt(user.id);
    else say('There are no users in the graph.');
  } catch (error) {
    replace(main, trouble(error, random));
  }
}

/** @param {State} state */
function show(state) {
  document.querySelectorAll('nav a').forEach((link) => {
    const view = link.getAttribute('data-view') ?? '';
    link.setAttribute('href', addressOf({ ...state, view, about: null }));
    if (view === state.view) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  });
  document.title = [state.about ?? state.user ?? (state.item.length ? 'someone new' : null), 'recsvc'].filter(Boolean).join(' · ');
}

/** @param {State} state */
function mount(state) {
  ending.abort();
  ending = new AbortController();
  show(state);
  const nobody = state.user === null && (state.view === 'home' || !state.item.length);
  const starting = !(state.view in OF_ALL) && state.view !== 'new' && nobody;
  who.hidden = starting;
  update = undefined;
  if (state.view in OF_ALL) OF_ALL[state.view](main, ending.signal, state);
  else if (state.view === 'new') newcomer(main);
  else if (starting) start();
  else update = (OF_SOMEBODY[state.view] ?? recommendations)(main, state);
}

function start() {
  const field = searchField({ what: 'users', label: 'Look at a user', placeholder: 'Id or name', chosen: ({ id }) => lookAt(id) });
  const examples = h('p', { class: 'examples' });
  replace(main, h('section', { class: 'start' },
    h('h2', {}, 'Whose recommendations?'),
    h('p', {}, 'This service recommends items, and says exactly why: every score is a sum of what single things that somebody did add to it. Choose somebody, open an item to see its reasons, and take a piece of evidence away to see what changes.'),
    field, examples,
    h('div', { class: 'buttons' },
      h('button', { type: 'button', onclick: random }, 'A random user'),
      h('button', { type: 'button', onclick: someoneNew }, 'Someone new'))));
  randomUsers(DRAWN, true).then((users) => {
    const known = users.filter((user) => user.count).sort((a, b) => b.count - a.count).slice(0, EXAMPLES);
    if (known.length) replace(examples, 'For example ', known.map(exampleOf));
  }, () => {}); // the field is enough
}

const someoneNew = () => go({ ...anew, view: 'new' });

/** @param {{id: string, title: string | null, count: number}} user */
const exampleOf = ({ id, title, count: items }) => h('button', { type: 'button', class: 'quiet', onclick: () => lookAt(id) },
  h('b', {}, title ?? id), ` · ${count(items)} ${items === 1 ? 'item' : 'items'}`);

/** What a view is made for; another of it is another view. @param {State} state */
const kindOf = ({ view, user, about, item }) => JSON.stringify([view, user, about, item]);

replace(who,
  searchField({ what: 'users', label: 'User', placeholder: 'User: id or name', chosen: ({ id }) => lookAt(id) }),
  h('button', { type: 'button', onclick: random }, 'Random'),
  h('button', { type: 'button', onclick: someoneNew }, 'Someone new'));
document.getElementById('skip')?.addEventListener('click', (event) => {
  event.preventDefault();
  /** @type {HTMLElement} */ (main.querySelector('.items .row') ?? main).focus();
});
document.addEventListener('click', (event) => {
  const link = /** @type {Element} */ (event.target).closest?.('nav a, #home, a.within');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.matches('.within')) {
    go(read(new URL(/** @type {HTMLAnchorElement} */ (link).href).search));
    scrollTo(0, 0); // what was clicked is gone
    main.focus({ preventScroll: true });
    return;
  }
  const view = link.getAttribute('data-view');
  go(view ? { view, about: null } : { ...anew, view: 'recommendations' });
});
askWhenWanted();
watch((state, before) => {
  if (kindOf(state) !== kindOf(before)) mount(state);
  else {
    show(state);
    update?.(state);
  }
});
mount(current());
