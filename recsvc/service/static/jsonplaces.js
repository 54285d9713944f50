/** Where in a JSON text something stands, so that an error is shown there. */

/**
 * @typedef {{start: number, end: number, parts: Map<string, Place>}} Place
 * A value, or a field with its name, from one character to another; `parts` are its fields or entries.
 */

/** What is no JSON, and where. */
export class NoJson extends Error {
  /** @param {string} text @param {number} at */
  constructor(text, at) {
    super(text);
    this.at = at;
  }
}

const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const PLAIN = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const SPACE = /[ \t\n\r]*/y;

/**
 * The places of all that a JSON text holds.
 * @param {string} text
 * @returns {Place}
 */
export function placesOf(text) {
  let at = 0;

  /** @param {RegExp} pattern */
  function take(pattern) {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (!found) return null;
    at = pattern.lastIndex;
    return found[0];
  }

  /** @param {string} wanted @returns {never} */
  const refuse = (wanted) => {
    const there = at < text.length ? `“${[...text.slice(at)][0]}”` : 'the end of the text';
    throw new NoJson(`expected ${wanted}, found ${there}`, at);
  };

  /** @param {string} sign */
  function takeSign(sign) {
    take(SPACE);
    if (text[at] !== sign) return false;
    at += 1;
    return true;
  }

  /** @returns {Place} */
  function value() {
    take(SPACE);
    const start = at;
    /** @type {Map<string, Place>} */
    const parts = new Map();
    if (takeSign('{')) members('}', 'a field in quotes or }', () => {
      const from = at;
      const name = take(STRING) ?? refuse('the name of a field in quotes');
      if (!takeSign(':')) refuse('a colon');
      parts.set(JSON.parse(name), { ...value(), start: from });
    });
    else if (takeSign('[')) members(']', 'a value or ]', () => { parts.set(String(parts.size), value()); });
    else if (take(STRING) === null && take(PLAIN) === null) refuse('a value');
    return { start, end: at, parts };
  }

  /** @param {string} close @param {string} wanted @param {() => void} one */
  function members(close, wanted, one) {
    if (takeSign(close)) return;
    do {
      take(SPACE);
      if (at >= text.length) refuse(wanted);
      one();
    } while (takeSign(','));
    if (!takeSign(close)) refuse(`a comma or ${close}`);
  }

  const whole = value();
  take(SPACE);
  if (at < text.length) refuse('nothing more');
  return whole;
}

/**
 * The place that a location names; of what is not there, the beginning of what it is missing in.
 * @param {Place} whole
 * @param {(string | number)[]} location parts that are not in the text, such as the kind of a rule, are passed over.
 * @returns {{start: number, end: number}}
 */
export function placeOf(whole, location) {
  let place = whole;
  let last = true;
  for (const part of location) {
    const inner = place.parts.get(String(part));
    last = inner !== undefined;
    place = inner ?? place;
  }
  return last && place !== whole ? place : { start: place.start, end: place.start + 1 };
}

/** The line that a character is in, from 1. @param {string} text @param {number} at */
export const lineOf = (text, at) => text.slice(0, at).split('\n').length;
