/** Copying: what was asked, as curl, and where one is, as a link. */

import { h, say } from './dom.js';
import { keptKey } from './key.js';

/** @typedef {import('./api.js').Ask} Ask */

/** A request as a command line. @param {Ask} ask */
export function curlOf({ method, path, body }) {
  // The key itself is nothing to paste elsewhere.
  const key = keptKey() === null ? '' : ' -H "Authorization: Bearer $RECSVC_KEY"';
  const address = quoted(new URL(path, document.baseURI).href) + key;
  if (body === undefined) return method === 'GET' ? `curl ${address}` : `curl -X ${method} ${address}`;
  const asked = method === 'POST' ? '' : `-X ${method} `;
  return `curl ${asked}${address} -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}`;
}

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * A button that copies.
 * @param {string} label
 * @param {() => string} text
 */
export function copyButton(label, text) {
  const button = h('button', { type: 'button', class: 'quiet', onclick: copy }, label);
  async function copy() {
    const told = await put(text()) ? 'Copied' : 'Not copied';
    say(told === 'Copied' ? `${label}: copied` : 'The browser does not allow to copy.');
    button.textContent = told;
    setTimeout(() => { button.textContent = label; }, 1500);
  }
  return button;
}

/** @param {string} text @returns {Promise<boolean>} */
async function put(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
