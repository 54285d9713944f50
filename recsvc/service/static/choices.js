/** What can answer: all signals together, one of them alone, or another version. */

import { answer, get, listOf } from './api.js';
import { h, replace } from './dom.js';
import { words } from './format.js';
import { NO_SIGNALS } from './meaning.js';

/** @typedef {import('./state.js').State} State */
/** @typedef {{value: string, label: string}} Choice */

/** All signals of the active version. @type {Choice} */
export const ALL = { value: '', label: 'all signals' };

/**
 * What can answer for somebody.
 * @param {State} state
 * @param {{signals: Object<string, number>}[]} [known] a list of theirs by all signals, if there is one.
 * @returns {Promise<Choice[]>}
 */
export async function choicesFor(state, known) {
  const plain = { ...state, by: '', diversity: 0, category: [], without: [] };
  const asked = known?.length && !state.by ? { items: known } : answer(listOf(plain, { k: 1, explain: 'none' }));
  const [{ items }, { models }] = await Promise.all([asked, knownVersions()]);
  const signals = Object.keys(items[0]?.signals ?? {}).filter((name) => !NO_SIGNALS.includes(name));
  const versions = models.filter((/** @type {any} */ each) => each.stored && each.status !== 'active');
  return [
    ALL,
    ...signals.map((name) => ({ value: `signal:${name}`, label: `${words(name)} alone` })),
    ...versions.map((/** @type {any} */ each) => ({ value: `version:${each.version}`, label: `version ${each.version} (${each.status})` })),
  ];
}

/** The versions, or none for a key that is not for them. */
async function knownVersions() {
  try {
    return await get('v1/models');
  } catch (error) {
    if (/** @type {import('./api.js').Problem} */ (error).status === 403) return { models: [] };
    throw error;
  }
}

/**
 * Fill a field to choose with.
 * @param {HTMLSelectElement} select
 * @param {Choice[]} choices
 * @param {string} chosen stays to be chosen, also where it is none of them.
 */
export function offer(select, choices, chosen) {
  const all = choices.some(({ value }) => value === chosen)
    ? choices : [...choices, { value: chosen, label: chosen.replace(':', ' ') }];
  replace(select, all.map(({ value, label }) => h('option', { value }, label)));
  select.value = chosen;
}
