/** What is known about a user. Only the rows that can be seen exist, so 10,000 stay smooth. */

import { h, replace } from './dom.js';
import { ago, count, keyOf, moment, nameOf, weight } from './format.js';

/**
 * @typedef {{event: string, weight: number, at: string | null}} Interaction
 * @typedef {{kind: string, id: string, title: string | null, weight: number | null,
 *   interactions: Interaction[]}} Piece
 */

const ROW = 44;
const BEYOND = 8;

/**
 * How a list of evidence speaks, and what the button of a piece does.
 * @typedef {{head: string, kinds: Object<string, string>, button: (name: string) => string,
 *   title: string, back?: string}} Words `back` where the button of a piece that is away puts it back.
 */

/** @type {Words} */
const OF_THEM = {
  head: 'What they did', kinds: { item: 'item', user: 'person they follow', category: 'category they prefer' },
  button: (name) => `Without ${name}`, title: 'Take it away', back: 'Put it back',
};

/** @type {Object<string, (a: Piece, b: Piece) => number>} */
const ORDERS = {
  newest: (a, b) => latest(b) - latest(a),
  weight: (a, b) => Math.abs(b.weight ?? 0) - Math.abs(a.weight ?? 0),
  name: (a, b) => nameOf(a).localeCompare(nameOf(b)),
};

/** Whether an order tells pieces apart. @param {string} name @param {Piece[]} pieces */
const tells = (name, pieces) => name === 'name' || pieces.some((piece) => (name === 'newest' ? latest(piece) : piece.weight));

/** @param {Piece} piece */
const latest = (piece) => Math.max(0, ...piece.interactions.map(({ at }) => (at ? Date.parse(at) : 0)));

/**
 * The list, with what filters and sorts it.
 * @param {Piece[]} pieces
 * @param {(key: string) => void} toggle takes a piece away, or puts it back.
 * @param {Words} [words]
 * @returns {{element: HTMLElement, without: (keys: string[]) => void}}
 */
export function evidenceList(pieces, toggle, words = OF_THEM) {
  /** @type {Set<string>} */
  let gone = new Set();
  let shown = pieces;
  const tall = h('ul', { class: 'rows', 'aria-label': 'Evidence; arrow keys go through it', onkeydown: step });
  const box = h('div', { class: 'window', onscroll: draw }, tall);
  const filter = h('input', { type: 'search', 'aria-label': 'Filter the evidence', placeholder: 'Filter', oninput: arrange });
  const sort = h('select', { 'aria-label': 'Sort the evidence', onchange: arrange },
    Object.keys(ORDERS).filter((name) => tells(name, pieces)).map((name) => h('option', { value: name }, name)));
  const none = h('p', { class: 'none' });
  /** @type {Map<string, HTMLElement>} */
  let rows = new Map();
  /** The only row that Tab stops at. */
  let stop = 0;

  /** @param {KeyboardEvent} event */
  function step(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const on = /** @type {HTMLElement} */ (event.target).closest('.piece');
    if (!by || !on) return;
    event.preventDefault();
    stop = Math.min(Math.max(Number(on.ariaPosInSet) - 1 + by, 0), shown.length - 1);
    const top = stop * ROW;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + ROW > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW - box.clientHeight;
    draw();
    /** @type {HTMLElement | null | undefined} */ (rows.get(keyOf(shown[stop]))?.querySelector('button'))?.focus();
  }

  function arrange() {
    stop = 0;
    const text = filter.value.trim().toLowerCase();
    shown = pieces.filter((piece) => nameOf(piece).toLowerCase().includes(text)).sort(ORDERS[sort.value]);
    none.textContent = shown.length ? '' : `Nothing in the evidence is called “${filter.value}”.`;
    tall.style.height = `${shown.length * ROW}px`;
    box.style.height = tall.style.height;
    rows = new Map();
    tall.replaceChildren();
    draw();
  }

  function draw() {
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - BEYOND);
    const end = Math.ceil((box.scrollTop + (box.clientHeight || 600)) / ROW) + BEYOND;
    /** @type {Map<string, HTMLElement>} */
    const kept = new Map();
    for (let index = first; index < Math.min(end, shown.length); index += 1) {
      const key = keyOf(shown[index]);
      kept.set(key, rows.get(key) ?? rowOf(shown[index], index));
    }
    rows.forEach((row, key) => kept.has(key) || row.remove());
    // Those that stay are not moved, so that the focus stays too.
    let before = null;
    for (const row of [...kept.values()].reverse()) {
      if (row.parentNode !== tall) tall.insertBefore(row, before);
      before = row;
    }
    rows = kept;
    if (!kept.has(keyOf(shown[stop] ?? { kind: '', id: '' }))) stop = Math.floor(box.scrollTop / ROW);
    rows.forEach((row) => {
      const button = /** @type {HTMLElement} */ (row.querySelector('button'));
      button.tabIndex = Number(row.ariaPosInSet) - 1 === stop ? 0 : -1;
    });
  }

  /** @param {Piece} piece @param {number} index */
  function rowOf(piece, index) {
    const key = keyOf(piece);
    const away = gone.has(key);
    const row = h('li', { class: `piece ${piece.kind}`, 'aria-setsize': shown.length, 'aria-posinset': index + 1 },
      h('i', { class: 'kind', 'aria-hidden': 'true' }),
      h('span', { class: 'name' }, h('b', { title: nameOf(piece) }, nameOf(piece)), h('small', {}, aboutOf(piece, words.kinds))),
      piece.weight !== null && h('span', { class: 'weight', title: 'How much it counts' }, weight(piece.weight)),
      h('button', {
        type: 'button', class: 'take', 'aria-pressed': words.back ? String(away) : null, 'aria-label': words.button(nameOf(piece)),
        title: away ? words.back : words.title, onclick: () => toggle(key),
      }));
    row.style.top = `${index * ROW}px`;
    row.classList.toggle('away', away);
    return row;
  }

  const element = h('div', { class: 'evidence-list' },
    pieces.length > 8 && h('div', { class: 'controls' }, filter, sort),
    pieces.some((piece) => piece.weight !== null) && h('p', { class: 'columns-head', 'aria-hidden': 'true' },
      h('span', {}, words.head), h('span', {}, 'Counts')),
    box, none);
  new ResizeObserver(draw).observe(box);
  arrange();
  return {
    element,
    without: (keys) => {
      gone = new Set(keys);
      rows.forEach((row, key) => {
        const away = gone.has(key);
        row.classList.toggle('away', away);
        const button = /** @type {HTMLElement} */ (row.querySelector('button'));
        button.setAttribute('aria-pressed', String(away));
        button.title = (away ? words.back : words.title) ?? '';
      });
    },
  };
}

/** @param {Piece} piece @param {Object<string, string>} kinds */
function aboutOf(piece, kinds) {
  if (!piece.interactions.length) return [kinds[piece.kind]];
  const [newest, ...others] = piece.interactions;
  const parts = [`${newest.event} ${count(newest.weight)}`];
  if (others.length) parts.push(`${others.length} more`);
  const when = newest.at && h('time', { datetime: newest.at, title: moment(newest.at) }, ago(newest.at));
  return [parts.join(' · '), when && ' · ', when];
}

/** How much there is to see, in words. @param {Piece[]} pieces @param {number} seen */
export function summaryOf(pieces, seen) {
  const items = pieces.filter(({ kind }) => kind === 'item').length;
  const people = pieces.filter(({ kind }) => kind === 'user').length;
  const categories = pieces.length - items - people;
  const found = [`${count(items)} ${items === 1 ? 'item' : 'items'}`];
  if (people) found.push(`${count(people)} ${people === 1 ? 'person' : 'people'} followed`);
  if (categories) found.push(`${count(categories)} ${categories === 1 ? 'category' : 'categories'}`);
  if (seen > items) found.push(`${count(seen)} items seen`);
  return found.join(' · ');
}

/** Fill a place that has no evidence. @param {Element} place */
export function noEvidence(place) {
  replace(place, h('p', { class: 'none' }, 'Nothing is known about this user, so they get what is popular. Send what they do to POST /v1/events.'));
}
