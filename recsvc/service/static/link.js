/** Links from one view of the page to another. */

import { h } from './dom.js';
import { addressOf, anew, current } from './state.js';

/** @typedef {import('./state.js').State} State */

/**
 * A link to something else; what is looked at besides stays.
 * @param {Partial<State>} change
 * @param {...import('./dom.js').Child} children
 */
export const linkTo = (change, ...children) => h('a', { class: 'within', href: addressOf({ ...current(), ...change }) }, children);

/** @param {string} id @param {...import('./dom.js').Child} children */
export const linkToItem = (id, ...children) => linkTo({ view: 'item', about: id, open: null }, ...children);

/** @param {string} id @param {Partial<State>} change @param {...import('./dom.js').Child} children */
export const linkToUser = (id, change, ...children) => linkTo({ ...anew, view: 'recommendations', user: id, ...change }, ...children);
