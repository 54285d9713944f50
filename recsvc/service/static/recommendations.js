/** Somebody's evidence and what they are recommended. */

import { answer, evidenceOf, explored, listOf } from './api.js';
import { chipOf, listControls } from './controls.js';
import { h, replace, say, trouble } from './dom.js';
import { evidenceList, noEvidence, summaryOf } from './evidence.js';
import { count, keyOf, nameOf } from './format.js';
import { listOfItems, signalsOf, unfoldAll } from './list.js';
import { statedEvidence } from './newcomer.js';
import { current, go } from './state.js';

/** @typedef {import('./state.js').State} State */
/** @typedef {import('./evidence.js').Piece} Piece */

const BEFORE = 100;

/**
 * The view, in a place of the page.
 * @param {Element} place
 * @param {State} first
 * @returns {(state: State) => void} to be told of each change.
 */
export function recommendations(place, first) {
  const controls = listControls(() => tried.as);
  const aside = h('section', { class: 'evidence', 'aria-labelledby': 'evidence-title' });
  const without = h('div', { class: 'without' });
  const status = h('p', { class: 'status' });
  const warning = h('div', {});
  const body = h('div', { class: 'list' });
  const section = h('section', { class: 'recommended', 'aria-labelledby': 'list-title' },
    h('div', { class: 'heading' }, h('h2', { id: 'list-title' }, 'Recommendations'), status, controls.copies),
    controls.element, without, warning, body);
  replace(place, h('div', { class: 'split' }, aside, section));
  /** @type {Piece[]} */
  let pieces = [];
  /** @type {((keys: string[]) => void) | null} */
  let mark = null;
  /** @type {import('./list.js').Answer | null} */
  let shown = null;
  let asking = new AbortController();
  let offered = false;
  /** Lists of the same options try out the same, see `explored`. @type {{of: string, as: {recommendation_id?: string}}} */
  let tried = { of: '', as: {} };

  /** @param {State} state */
  async function loadEvidence(state) {
    mark = null;
    pieces = [];
    fillAside(h('p', { class: 'none' }, 'Reading…'), '');
    try {
      const [known, seen] = state.user === null
        ? [await statedEvidence(state.item), state.item.length]
        : await evidenceOf(state.user).then((found) => [found.evidence, found.seen]);
      pieces = known;
      const list = evidenceList(pieces, toggle);
      fillAside(list.element, summaryOf(pieces, seen));
      if (!pieces.length) noEvidence(list.element);
      mark = list.without;
      showWithout(current());
    } catch (error) {
      fillAside(trouble(error, () => loadEvidence(state)), '');
    }
  }

  /** @param {Element} content @param {string} summary */
  function fillAside(content, summary) {
    const { user } = current();
    const fold = h('details', { open: matchMedia('(min-width: 60rem)').matches },
      h('summary', {}, h('h2', { id: 'evidence-title' }, user === null ? 'What they picked' : `What is known about ${user}`),
        h('small', {}, summary)), content);
    replace(aside, fold);
  }

  /** @param {string} key */
  function toggle(key) {
    const { without: gone } = current();
    go({ without: gone.includes(key) ? gone.filter((each) => each !== key) : [...gone, key] });
  }

  /** @param {State} state */
  function showWithout(state) {
    mark?.(state.without);
    const named = (/** @type {string} */ key) => {
      const piece = pieces.find((each) => keyOf(each) === key);
      return piece ? nameOf(piece) : key;
    };
    replace(without, state.without.length > 0 && h('div', { class: 'note' },
      h('p', {}, 'Without'),
      h('ul', { class: 'chips', 'aria-label': 'Taken away' },
        state.without.map((key) => chipOf(named(key), `Put ${named(key)} back`, () => toggle(key)))),
      h('button', { type: 'button', onclick: () => go({ without: [] }) }, 'Put all back')));
  }

  /** @param {State} state */
  async function loadList(state) {
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    body.setAttribute('aria-busy', 'true');
    const old = { k: state.diversity ? state.k : Math.max(BEFORE, state.k), without: [], explain: 'none' };
    const of = asksOf({ ...state, without: [] });
    if (tried.of !== of) tried = { of, as: {} };
    const own = tried;
    /** @param {Object<string, any>} [options] @returns {Promise<import('./list.js').Answer>} */
    async function ask(options) {
      const found = await answer(listOf(state, { ...options, ...own.as }), signal);
      if (!own.as.recommendation_id) own.as = explored(found);
      return found;
    }
    try {
      const before = state.without.length ? await ask(old) : null;
      const now = await ask({ explain: 'summary' });
      shown = now;
      draw(now, before);
      body.removeAttribute('aria-busy');
      if (!offered) controls.choose(state, now.items).catch(() => {}); // the list is there without
      offered = true;
      const whole = await ask();
      shown = whole;
      warn(whole.degraded);
      unfoldAll(body, whole, { anew: true });
    } catch (error) {
      if (signal.aborted) return;
      shown = null;
      tried = { of: '', as: {} };
      replace(status);
      replace(body, trouble(error, () => loadList(current())));
      body.removeAttribute('aria-busy');
    }
  }

  /** @type {import('./list.js').Answer | null} */
  let base = null;

  /** @param {import('./list.js').Answer} now @param {import('./list.js').Answer | null} before */
  function draw(now, before) {
    base = before;
    const { items, took_ms: took, versions, degraded, variant } = now;
    const named = Object.entries(versions).map(([model, version]) => `${model} ${version}`);
    const under = variant ? ` · variant ${variant.name} of the experiment ${variant.experiment}` : '';
    replace(status, `${count(items.length)} items in ${took.toFixed(1)} ms · ${named.join(', ')}${under}`);
    controls.sortBy(signalsOf(items));
    const focused = document.activeElement?.closest('[data-item]')?.getAttribute('data-item');
    replace(body, items.length > 0 && listOfItems(now, before), shortOf(now));
    warn(degraded);
    if (focused) /** @type {HTMLElement | null} */ (body.querySelector(`[data-item="${CSS.escape(focused)}"]`))?.focus();
    say(`${items.length} recommendations.${before ? ` Pieces of evidence left out: ${current().without.length}.` : ''}`);
  }

  /** Say what Neo4j had no time for. @param {string[]} degraded */
  function warn(degraded) {
    replace(warning, degraded.length > 0 && h('div', { class: 'note bad', role: 'alert' },
      h('p', {}, `Neo4j did not answer in time, so this is left out: ${degraded.join(', ')}.`),
      h('button', { type: 'button', onclick: () => loadList(current()) }, 'Ask again')));
  }

  controls.update(first);
  loadList(first);
  loadEvidence(first);
  let last = first;
  return (state) => {
    const before = last;
    last = state;
    controls.update(state);
    if (asksOf(before) !== asksOf(state)) {
      showWithout(state);
      loadList(state);
    } else if (shown && before.sort !== state.sort) draw(shown, base);
    else if (shown) unfoldAll(body, shown);
  };
}

/** Which list. @param {State} state */
const asksOf = (state) => JSON.stringify(listOf(state));

/** Why there are fewer items than were asked for. @param {import('./list.js').Answer} answer */
function shortOf({ short }) {
  const { category } = current();
  return short !== undefined && h('div', { class: 'note short' },
    h('p', {}, short),
    category.length > 0 && h('button', { type: 'button', onclick: () => go({ category: [] }) }, 'All categories'));
}

