/** What a list is asked for: how many, in which categories, how diverse, by what, in which order. */

import { listOf } from './api.js';
import { ALL, choicesFor, offer } from './choices.js';
import { copyButton, curlOf } from './copy.js';
import { h, labelled, replace } from './dom.js';
import { words } from './format.js';
import { searchField } from './search.js';
import { current, go } from './state.js';
import { called, remember, titleOf } from './titles.js';

/** @typedef {import('./state.js').State} State */

const SIZES = [5, 10, 20, 50];

/**
 * The controls of a list.
 * @param {() => Object<string, any>} as what a request for the list that is shown says besides.
 * @returns {{element: HTMLElement, copies: HTMLElement, update: (state: State) => void,
 *   sortBy: (signals: string[]) => void,
 *   choose: (state: State, items: import('./list.js').Item[]) => Promise<void>}}
 */
export function listControls(as) {
  const size = h('select', { onchange: () => go({ k: Number(size.value) }) },
    SIZES.map((each) => h('option', { value: each }, each)));
  const by = h('select', { onchange: () => go({ by: by.value, open: null }) });
  const sort = h('select', { onchange: () => go({ sort: sort.value }, { quietly: true }) });
  const shown = h('output', {});
  const diversity = h('input', {
    type: 'range', min: 0, max: 1, step: 0.05,
    oninput: () => { shown.textContent = diversity.value; },
    onchange: () => go({ diversity: Number(diversity.value) }),
  });
  const chips = h('ul', { class: 'chips', 'aria-label': 'Only these categories' });
  const field = searchField({
    what: 'categories', label: 'Only in a category', placeholder: 'Category',
    chosen: ({ id, title }) => {
      remember(`category:${id}`, title ?? id);
      const { category } = current();
      if (!category.includes(id)) go({ category: [...category, id] });
    },
  });

  /** @param {State} state */
  function update(state) {
    size.value = String(state.k);
    if (!size.value) size.append(h('option', { value: state.k, selected: true }, state.k));
    diversity.value = String(state.diversity);
    shown.textContent = diversity.value;
    by.value = state.by;
    showCategories(state.category);
  }

  /** @param {string[]} ids */
  async function showCategories(ids) {
    const show = () => replace(chips, ids.map((id) => chipOf(called(`category:${id}`), `All but ${called(`category:${id}`)}`,
      () => go({ category: current().category.filter((each) => each !== id) }))));
    show();
    await Promise.allSettled(ids.map((id) => titleOf('category', id)));
    if (ids === current().category) show();
  }

  /** @param {string[]} signals */
  const sortBy = (signals) => offer(sort, [
    { value: 'rank', label: 'rank' }, { value: 'title', label: 'title' },
    ...signals.map((signal) => ({ value: `signal:${signal}`, label: words(signal) })),
  ], current().sort);

  offer(by, [ALL], current().by);
  sortBy([]);
  return {
    element: h('div', { class: 'controls list-controls' },
      labelled('Show', size), labelled('By', by), labelled('Sort', sort),
      labelled('Diversity', diversity, shown),
      field, chips),
    copies: h('span', { class: 'copies' },
      copyButton('Copy link', () => location.href),
      copyButton('Copy curl', () => curlOf(listOf(current(), as())))),
    update,
    sortBy,
    choose: async (state, items) => offer(by, await choicesFor(state, items), current().by),
  };
}

/**
 * Something chosen, which can be given up.
 * @param {string} text
 * @param {string} label
 * @param {() => void} drop
 */
export function chipOf(text, label, drop) {
  return h('li', {}, text, h('button', { type: 'button', 'aria-label': label, title: label, onclick: drop }, '×'));
}
