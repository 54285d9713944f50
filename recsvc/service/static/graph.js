/**
 * The paths behind a recommendation, drawn in layers: the user, what they did, who or what links, the
 * item. A person whom the user does not follow has no id: those behind one piece of evidence are
 * drawn as one node with their number. In a graph that is mapped a path may be longer, and lead over
 * what has no id, such as orders: they are drawn likewise.
 */

import { freshId, h, svg } from './dom.js';
import { nameOf, shortened, signed } from './format.js';

/**
 * @typedef {{kind: string, id: string | null, title: string | null}} PathNode
 * @typedef {{type: string, from: number, to: number}} Step
 * @typedef {{contribution: number, nodes: PathNode[], relationships: Step[]}} Path
 * @typedef {{key: string, kind: string, layer: number, people: number, name: string,
 *   sum: number, x: number, y: number}} Dot
 * @typedef {{from: Dot, to: Dot, types: Map<string, number>, forward: boolean, sum: number,
 *   number: number}} Link
 */

const WIDTH = 720;
const ROW = 34;
const MARGIN = 22;
const COLUMNS = [36, 220, 460, 690];
const LAST = COLUMNS.length - 1;
const LABEL_PX = 12;
const MOST_LETTERS = 60;

/** The place of each layer from the left. @param {number} last the number of the last one. */
const columnsOf = (last) => (last === LAST ? COLUMNS
  : Array.from({ length: last + 1 }, (_, layer) => COLUMNS[0] + (layer * (WIDTH - 20 - COLUMNS[0])) / last));

/**
 * How wide the labels of each layer may be: between two columns each has half of the room.
 * @param {number[]} columns
 */
const roomOf = (columns) => columns.map((x, layer) => {
  const gaps = [columns[layer - 1], columns[layer + 1]].filter((other) => other !== undefined).map((other) => Math.abs(other - x));
  return (gaps.length > 1 ? Math.min(...gaps) : gaps[0] / 2 + LABEL_PX) - LABEL_PX / 2;
});

/**
 * Nodes and links of some paths, each once.
 * @param {Path[]} paths
 */
export function layered(paths) {
  /** @type {Map<string, Dot>} */
  const dots = new Map();
  /** @type {Map<string, Link>} */
  const links = new Map();
  const last = Math.max(LAST, ...paths.map(({ nodes }) => layerOf(nodes, nodes.length - 1)));
  for (const { contribution, nodes, relationships } of paths) {
    const on = nodes.map((_, index) => dotOf(dots, nodes, index, contribution, last));
    for (const { type, from, to } of relationships) {
      const forward = on[from].layer <= on[to].layer;
      const [a, b] = forward ? [on[from], on[to]] : [on[to], on[from]];
      const key = `${a.key}→${b.key}`;
      const link = links.get(key)
        ?? { from: a, to: b, types: new Map(), forward, sum: 0, number: 0 };
      link.types.set(type, (link.types.get(type) ?? 0) + 1);
      link.sum += contribution;
      link.number += 1;
      links.set(key, link);
    }
  }
  return { dots: [...dots.values()], links: [...links.values()], last };
}

/**
 * How many steps from the left a node is; somebody new is no node of the graph.
 * @param {PathNode[]} nodes
 * @param {number} index
 */
const layerOf = (nodes, index) => index + (nodes[0].kind === 'user' ? 0 : 1);

/**
 * @param {Map<string, Dot>} dots
 * @param {PathNode[]} nodes
 * @param {number} index
 * @param {number} contribution
 * @param {number} last the layer of what all paths lead to.
 */
function dotOf(dots, nodes, index, contribution, last) {
  const node = nodes[index];
  const layer = index === nodes.length - 1 ? last : layerOf(nodes, index);
  const unnamed = node.id === null;
  const behind = unnamed ? `somebody ${nodes[index - 1]?.kind}:${nodes[index - 1]?.id}` : node.id;
  const key = `${layer} ${node.kind} ${behind}`;
  const dot = dots.get(key) ?? { key, kind: node.kind, layer, people: 0, name: nameOf(node), sum: 0, x: 0, y: 0 };
  dot.sum += contribution;
  if (unnamed) {
    dot.people += 1;
    const many = node.kind === 'user' ? 'people' : `${node.kind}s`;
    dot.name = dot.people === 1 ? nameOf(node) : `${dot.people} ${many}`;
  }
  dots.set(key, dot);
  return dot;
}

/**
 * The drawing, with a line below it that tells about what is pointed at, and the same as text.
 * @param {Path[]} paths the strongest first.
 * @param {string} item what they lead to.
 */
export function graphOf(paths, item) {
  const { dots, links, last } = layered(paths);
  const height = place(dots, last);
  const told = h('p', { class: 'told', id: freshId('told') }, 'Point at a line or a node, or go through them with Tab.');
  /** @param {Set<Link>} some @param {string} text @param {Element} element */
  const pointed = (some, text, element) => {
    /** @param {boolean} on */
    const mark = (on) => {
      drawing.classList.toggle('pointing', on);
      drawn.forEach((line, link) => line.classList.toggle('on', on && some.has(link)));
      element.classList.toggle('on', on);
      if (on) told.textContent = text;
    };
    for (const name of ['mouseenter', 'focus']) element.addEventListener(name, () => mark(true));
    for (const name of ['mouseleave', 'blur']) element.addEventListener(name, () => mark(false));
    return element;
  };
  const widest = Math.max(...links.map((link) => Math.abs(link.sum)), 1e-9);
  const drawn = new Map(links.map((link) => [link, lineOf(link, widest)]));
  const drawing = svg('svg', {
    viewBox: `0 0 ${WIDTH} ${height}`, class: 'graph', role: 'group',
    'aria-label': `Paths to ${item}`,
  });
  for (const [link, line] of drawn) drawing.append(pointed(new Set([link]), line.textContent ?? '', line));
  const room = roomOf(columnsOf(last));
  for (const dot of dots) {
    const own = new Set(links.filter((link) => link.from === dot || link.to === dot));
    const element = nodeOf(dot, last, room[dot.layer]);
    drawing.append(pointed(own, element.getAttribute('aria-label') ?? '', element));
  }
  return h('figure', { class: 'paths' }, h('div', { class: 'scroll' }, drawing), told);
}

/** Give each node its place; the height of the whole. @param {Dot[]} dots @param {number} last */
function place(dots, last) {
  const columns = columnsOf(last);
  const layers = columns.map((_, layer) => dots.filter((dot) => dot.layer === layer));
  const rows = Math.max(...layers.map((layer) => layer.length));
  const height = 2 * MARGIN + ROW * Math.max(rows, 2);
  layers.forEach((layer, number) => {
    if (number && number < last) layer.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
    const step = (height - 2 * MARGIN) / layer.length;
    layer.forEach((dot, index) => {
      dot.x = columns[number];
      dot.y = MARGIN + step * (index + 0.5);
    });
  });
  return height;
}

/** @param {Link} link @param {number} widest */
function lineOf({ from, to, types, forward, sum, number }, widest) {
  const [a, b] = forward ? [from, to] : [to, from];
  const kinds = [...types.keys()].join(', ');
  const text = `${a.name} —${kinds}→ ${b.name}: ${number === 1 ? 'on one path' : `on ${number} paths`}, ${signed(sum)}`;
  const middle = (from.x + to.x) / 2;
  const d = `M${from.x} ${from.y}C${middle} ${from.y} ${middle} ${to.y} ${to.x} ${to.y}`;
  const line = svg('path', { d, class: sum < 0 ? 'line less' : 'line' });
  line.style.strokeWidth = `${1 + 5 * (Math.abs(sum) / widest)}px`;
  return svg('g', { class: 'link', tabindex: 0, role: 'img', 'aria-label': text },
    svg('title', {}, text), svg('path', { d, class: 'reach' }), line);
}

/** @param {Dot} dot @param {number} last @param {number} room how wide its label may be. */
function nodeOf(dot, last, room) {
  const { kind, layer, name, people, sum, x, y } = dot;
  const shown = fitting(name, room);
  const label = `${name}${layer ? `: ${signed(sum)} on the paths over it` : ''}`;
  return svg('g', { class: `dot ${kind}${people ? ' people' : ''}`, tabindex: 0, role: 'img', 'aria-label': label },
    mark(kind, x, y, layer === 0 || layer === last ? 8 : 6),
    svg('text', { x, y: y - 12, 'text-anchor': layer === last ? 'end' : layer ? 'middle' : 'start', dx: layer === last ? LABEL_PX : layer ? 0 : -LABEL_PX }, shown),
    shown !== name && svg('title', {}, name),
    svg('rect', { class: 'reach', x: x - 30, y: y - 24, width: 60, height: 34 }));
}

const pen = /** @type {CanvasRenderingContext2D} */ (document.createElement('canvas').getContext('2d'));

/** A name, cut where it is wider than its room. @param {string} name @param {number} room */
function fitting(name, room) {
  pen.font = `${LABEL_PX}px ${getComputedStyle(document.body).fontFamily}`;
  let longest = Math.min(name.length, MOST_LETTERS);
  while (longest > 1 && pen.measureText(shortened(name, longest)).width > room) longest -= 1;
  return shortened(name, longest);
}

/**
 * The form of a node says its kind, also without colours.
 * @param {string} kind
 * @param {number} x
 * @param {number} y
 * @param {number} r
 */
function mark(kind, x, y, r) {
  if (kind === 'user') return svg('circle', { cx: x, cy: y, r });
  if (kind === 'item') return svg('rect', { x: x - r, y: y - r, width: 2 * r, height: 2 * r, rx: 3 });
  return svg('path', { d: `M${x} ${y - r - 1}L${x + r + 1} ${y}L${x} ${y + r + 1}L${x - r - 1} ${y}Z` });
}
