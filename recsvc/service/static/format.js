/** Numbers, times and names as people read them. */

const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const SMALL = new Intl.NumberFormat('en', { maximumSignificantDigits: 1 });
const SHARE = new Intl.NumberFormat('en', { style: 'percent', maximumSignificantDigits: 3 });
const POINTS = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const DAY = new Intl.DateTimeFormat('en', { dateStyle: 'medium' });
const MOMENT = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' });
const AGO = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const UNITS = /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([
  ['year', 31_557_600], ['month', 2_629_800], ['day', 86_400], ['hour', 3600], ['minute', 60],
]);

/** A count. @param {number} value */
export const count = (value) => NUMBER.format(value);

/** A share. @param {number} value */
export const percent = (value) => SHARE.format(value);

/** A difference of shares in points of a percent, with its sign. @param {number} value */
export const points = (value) => `${value < 0 ? '−' : '+'}${POINTS.format(Math.abs(100 * value))}`;

/** How much a piece of evidence counts, to three digits. @param {number} value */
export function weight(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 1 ? 1 : 3).replace('-', '−');
}

/** A part of a score, with its sign. @param {number} value */
export const signed = (value) => (value < 0 ? `−${score(-value)}` : `+${score(value)}`);

/**
 * A score, to three digits after the point or what of it counts.
 * @param {number} value
 * @returns {string}
 */
export function score(value) {
  if (value < 0) return `−${score(-value)}`;
  if (value !== 0 && value < 0.0005) return SMALL.format(value);
  return value.toFixed(3);
}

/** A day. @param {string} iso */
export const day = (iso) => DAY.format(new Date(iso));

/** A day and time. @param {string} iso */
export const moment = (iso) => MOMENT.format(new Date(iso));

/** How long ago something was. @param {string} iso */
export function ago(iso) {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  const [unit, size] = UNITS.find(([, length]) => seconds >= length) ?? ['second', 1];
  return AGO.format(-Math.floor(seconds / size), unit);
}

/** How long something took. @param {number} seconds */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}

/** Memory. @param {number} bytes */
export const megabytes = (bytes) => `${count(Math.round(bytes / 1e6))} MB`;

/** A signal's name as words. @param {string} name */
export const words = (name) => name.replaceAll('_', ' ');

/**
 * What to call a node of the graph.
 * @param {{kind: string, id: string | null, title?: string | null}} node
 */
export function nameOf(node) {
  if (node.title) return node.title;
  if (node.id === null) return node.kind === 'user' ? 'somebody' : node.kind;
  return node.kind === 'item' ? node.id : `${node.kind} ${node.id}`;
}

/** A name that would fill a picture or a sentence by itself, cut. @param {string} name @param {number} longest */
export const shortened = (name, longest) => (name.length > longest ? `${name.slice(0, longest - 1)}…` : name);

/** How evidence is named in `without`. @param {{kind: string, id: string | null}} node */
export const keyOf = (node) => `${node.kind}:${node.id}`;
