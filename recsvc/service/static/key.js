/** The API key, where the service asks for one: kept in this tab, until it is closed. */

const KEPT = 'recsvc.key';

/** What the document is told when a key is wanted, or another one. */
export const WANTED = 'key-wanted';

/** @returns {string | null} */
export const keptKey = () => sessionStorage.getItem(KEPT);

/** @param {string} key */
export const keepKey = (key) => sessionStorage.setItem(KEPT, key);

export const wantKey = () => document.dispatchEvent(new Event(WANTED));
