/** What a page shows the service: an API key, kept in this tab until it is closed, or a link. */

const KEPT = 'recsvc.key';

/** What the document is told when a key is wanted, or another one. */
export const WANTED = 'key-wanted';

/** The link of a person, on their page. @type {string | null} */
let link = null;

/** Show a link in the place of any key. @param {string} shown */
export const showLink = (shown) => { link = shown; };

/** @returns {string | null} */
export const keptKey = () => link ?? sessionStorage.getItem(KEPT);

/** @param {string} key */
export const keepKey = (key) => sessionStorage.setItem(KEPT, key);

export const wantKey = () => document.dispatchEvent(new Event(WANTED));
