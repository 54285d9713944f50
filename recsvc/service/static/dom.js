/** Making elements. Text is only ever set as text, so nothing from the graph becomes markup. */

import { wantKey } from './key.js';

const SVG = 'http://www.w3.org/2000/svg';

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element of the page.
 * @param {string} tag
 * @param {Object<string, any>} [attributes] `on…` adds a listener; false and null leave one out.
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * An element of a drawing.
 * @param {string} tag
 * @param {Object<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * @param {Element} element
 * @param {Object<string, any>} attributes
 * @param {(Child | Child[])[]} children
 */
function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  add(element, children);
  return element;
}

/**
 * Put children in the place of those an element has.
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function replace(parent, ...children) {
  parent.replaceChildren();
  add(parent, children);
}

/**
 * @param {Element} parent
 * @param {(Child | Child[])[]} children
 */
function add(parent, children) {
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) {
      parent.append(child instanceof Node ? child : String(child));
    }
  }
}

let numbered = 0;

/** An id that no other element has. @param {string} prefix */
export function freshId(prefix) {
  numbered += 1;
  return `${prefix}-${numbered}`;
}

/**
 * A control with its label before it.
 * @param {string} label
 * @param {Element} control
 * @param {...Child} more
 */
export function labelled(label, control, ...more) {
  control.id ||= freshId('field');
  return h('span', { class: 'field' }, h('label', { for: control.id }, label), control, more);
}

/** Tell it to who listens to the page. @param {string} text */
export function say(text) {
  const line = /** @type {Element} */ (document.getElementById('said'));
  line.textContent = text;
}

/**
 * What went wrong, and what to do.
 * @param {unknown} error
 * @param {() => void} [again]
 */
export function trouble(error, again) {
  const text = error instanceof Error ? error.message : String(error);
  const { status } = /** @type {{status?: number}} */ (error);
  return h('div', { class: 'note bad', role: 'alert' },
    h('p', {}, text),
    again && h('button', { type: 'button', onclick: again }, status === 409 ? 'Look again' : 'Try again'),
    (status === 401 || status === 403) && h('button', { type: 'button', onclick: wantKey }, status === 401 ? 'Enter a key' : 'Use another key'));
}

/**
 * Ask before something that changes what everybody sees.
 * @param {string} question
 * @param {string} details
 * @param {string} action
 * @returns {Promise<boolean>}
 */
export function confirmed(question, details, action) {
  const id = freshId('ask');
  const dialog = h('dialog', { 'aria-labelledby': id },
    h('form', { method: 'dialog' },
      h('h2', { id }, question),
      h('p', {}, details),
      h('div', { class: 'buttons' },
        h('button', { value: 'no' }, 'Cancel'),
        h('button', { value: 'yes', class: 'primary' }, action))));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
  });
}
