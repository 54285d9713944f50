/** The requests to the service this page came from. */

import { keptKey, wantKey } from './key.js';

/** @typedef {import('./state.js').State} State */

/**
 * @typedef {{method: string, path: string, body?: Object<string, any>, unasked?: boolean}} Ask
 * Nobody is asked for a key because of what nobody asked for.
 */

/** A part of an address that browsers leave out. */
const DOTS = /\/\.\.?(?=[/?]|$)/;

/** An answer that is an error: its text says what to do. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   * @param {{location: (string | number)[], detail: string}[]} [errors] of a 422: which fields.
   */
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status;
    this.errors = errors;
  }
}

/**
 * The answer to a request.
 * @param {Ask} ask
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function answer(ask, signal) {
  const response = await respond(ask, signal);
  return response.json().catch((error) => {
    if (signal?.aborted) throw error; // it was cut off, so it is no answer
    return {};
  });
}

/**
 * What is at an address, as a file of its own.
 * @param {string} path
 */
export const fileOf = async (path) => (await respond({ method: 'GET', path })).blob();

/**
 * @param {Ask} ask
 * @param {AbortSignal} [signal]
 */
async function respond({ method, path, body, unasked }, signal) {
  if (DOTS.test(path)) {
    throw new Problem(0, 'An id of one or two dots cannot stand in an address, so it cannot be asked for here. Lists of such a user come from POST /v1/recommendations/batch.');
  }
  const key = keptKey();
  /** @type {RequestInit} */
  const options = {
    method,
    signal,
    headers: {
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
      ...(key !== null && { Authorization: `Bearer ${key}` }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, 'The service does not answer. Is `recsvc serve` running? Then try again.');
  }
  if (response.ok) return response;
  if (response.status === 401 && !unasked) wantKey();
  const { detail, errors } = await response.json().catch(() => ({}));
  throw new Problem(response.status, sentence(detail ?? response.statusText), errors);
}

/** @param {string} text */
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 */
export const get = (path, signal) => answer({ method: 'GET', path }, signal);

/**
 * @param {string} path
 * @param {Object<string, any>} [body]
 */
export const post = (path, body) => answer({ method: 'POST', path, body });

/** An id as part of a path. @param {string} id */
const part = (id) => encodeURIComponent(id);

/** @param {string} id @returns {Ask} */
export const homeOf = (id) => ({ method: 'GET', path: `v1/users/${part(id)}/home` });

/** @param {string} name @param {number} [revision] */
export const scenarioOf = (name, revision) => `v1/scenarios/${part(name)}${revision === undefined ? '' : `?revision=${revision}`}`;

/** @param {string} name @param {number} [revision] */
export const experimentOf = (name, revision) => `v1/experiments/${part(name)}${revision === undefined ? '' : `?revision=${revision}`}`;

/** @param {string} id */
export const itemOf = (id) => `v1/items/${part(id)}`;

/** @param {string} id */
export const audienceOf = (id) => `v1/items/${part(id)}/audience`;

/** @param {string} id */
export const similarTo = (id) => `v1/items/${part(id)}/similar`;

/** @param {string} id */
export const evidenceOf = (id) => get(`v1/users/${part(id)}/evidence`);

/**
 * Users, items or categories that are looked for.
 * @param {'users' | 'items' | 'categories'} what
 * @param {string} text
 * @param {AbortSignal} [signal]
 * @returns {Promise<{id: string, title: string | null, count: number}[]>}
 */
export async function search(what, text, signal) {
  const query = new URLSearchParams({ search: text, k: '8' });
  return (await get(`v1/${what}?${query}`, signal)).found;
}

/**
 * Users who are drawn from all.
 * @param {number} k
 * @param {boolean} [unasked] whether nobody asked for them.
 * @returns {Promise<{id: string, title: string | null, count: number}[]>}
 */
export async function randomUsers(k, unasked = false) {
  return (await answer({ method: 'GET', path: `v1/users?at=${Math.random()}&k=${k}`, unasked })).found;
}

/**
 * The request for a list.
 * @param {State} state for whom, and which list.
 * @param {Object<string, any>} [options] in the place of those that the state says.
 * @returns {Ask}
 */
export function listOf(state, options = {}) {
  const { k, category, diversity, without } = state;
  const wanted = { k, category, diversity, without, explain: 'full', ...byOf(state.by), ...options };
  if (state.user === null) {
    const evidence = state.item.map((id) => ({ item_id: id }));
    return { method: 'POST', path: 'v1/recommendations', body: { evidence, ...given(wanted) } };
  }
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(given(wanted))) {
    for (const each of [value].flat()) query.append(name, String(each));
  }
  return { method: 'GET', path: `v1/users/${part(state.user)}/recommendations?${query}` };
}

/**
 * How to ask for a list that tries out what this one does. Only under a scenario is something tried out.
 * @param {import('./list.js').Answer} found
 */
export const explored = ({ scenario, recommendation_id }) => (scenario ? { recommendation_id } : {});

/** The parameters that choose what answers. @param {string} by */
export function byOf(by) {
  const [name, value] = [by.slice(0, by.indexOf(':')), by.slice(by.indexOf(':') + 1)];
  if (name === 'version') return { version: Number(value) };
  return name === 'signal' ? { signal: value } : {};
}

/** Options without those that are as they are anyway. @param {Object<string, any>} options */
function given(options) {
  return Object.fromEntries(Object.entries(options).filter(
    ([name, value]) => !(Array.isArray(value) && !value.length) && !(name === 'diversity' && !value)));
}
