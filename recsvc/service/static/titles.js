/** What items, categories and users are called, each asked for once. */

import { get } from './api.js';

/** @type {Map<string, string>} */
const known = new Map();

/** Remember what something is called. @param {string} key @param {string} title */
export const remember = (key, title) => known.set(key, title);

/** What something is called, as far as it is known; else its id. @param {string} key */
export const called = (key) => known.get(key) ?? key.slice(key.indexOf(':') + 1);

/**
 * The same, asked for where it is not known.
 * @param {'item' | 'category' | 'user'} kind
 * @param {string} id
 * @returns {Promise<string>}
 */
export async function titleOf(kind, id) {
  const key = `${kind}:${id}`;
  if (!known.has(key)) {
    const { title, name } = await get(`v1/${kind === 'category' ? 'categories' : `${kind}s`}/${encodeURIComponent(id)}`);
    known.set(key, String(title ?? name ?? id));
  }
  return called(key);
}
