/** How good the versions were, one after the other. */

import { colourOf } from './bars.js';
import { h, svg } from './dom.js';
import { day, moment } from './format.js';

/** @typedef {import('./versions.js').Version} Version */
/** @typedef {import('./refreshes.js').Run} Run */
/** @typedef {{version: Version, at: number, mean: number, low: number, high: number}} Point */

const WIDTH = 360;
const HEIGHT = 170;
const LEFT = 46;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 26;
const HYBRID = 'hybrid';

/**
 * A chart for each metric, with a line for each model; nothing before there are two versions.
 * @param {Version[]} versions
 * @param {string[]} order of the metrics.
 * @param {Run[]} runs tell the intervals, as far as they are known here.
 */
export function trendOf(versions, order, runs) {
  const measured = versions.filter(({ metrics, ready_at: at }) => at && metrics && Object.keys(metrics).length);
  const times = [...new Set(measured.map(({ ready_at: at }) => /** @type {string} */ (at)))].sort();
  if (times.length < 2) return null;
  const names = order.filter((name) => measured.some(({ metrics }) => metrics && name in metrics));
  const models = [...new Set(measured.map(({ model }) => model))].sort((a, b) => Number(b === HYBRID) - Number(a === HYBRID) || a.localeCompare(b));
  const found = new Map(runs.map((run) => [run.id, run.metrics ?? {}]));
  /** @param {string} model @param {string} name @returns {Point[]} */
  const line = (model, name) => measured.filter((each) => each.model === model && each.metrics && name in each.metrics).map((version) => {
    const mean = /** @type {Object<string, number>} */ (version.metrics)[name];
    const { low = mean, high = mean } = found.get(version.run ?? '')?.[model]?.[name] ?? {};
    return { version, at: times.indexOf(/** @type {string} */ (version.ready_at)), mean, low, high };
  }).sort((a, b) => a.at - b.at);
  return h('div', { class: 'trend' },
    h('ul', { class: 'legend', 'aria-label': 'Models' }, models.map((model) => h('li', {}, h('i', { class: classOf(model) }), model))),
    h('div', { class: 'charts' }, names.map((name) => chartOf(name, models.map((model) => line(model, name)), times))));
}

/** @param {string} model */
const classOf = (model) => (model === HYBRID ? 'signal whole' : colourOf(model));

/** @param {string} name @param {Point[][]} lines @param {string[]} times */
function chartOf(name, lines, times) {
  const all = lines.flat();
  const least = Math.min(...all.map(({ low }) => low));
  const most = Math.max(...all.map(({ high }) => high));
  const room = (most - least || most || 1) * 0.08;
  const [bottom, top] = [least - room, most + room];
  const x = (/** @type {number} */ at) => LEFT + ((WIDTH - LEFT - RIGHT) * at) / (times.length - 1);
  const y = (/** @type {number} */ value) => TOP + ((HEIGHT - TOP - BOTTOM) * (top - value)) / (top - bottom);
  const ends = [times[0], times[times.length - 1]];
  const when = day(ends[0]) === day(ends[1]) ? moment : day;
  const ticks = [least, (least + most) / 2, most];
  const said = lines.filter((line) => line.length).map((line) => `${line[0].version.model}: ${line.map(({ version, mean }) => `version ${version.version} ${mean.toFixed(4)}`).join(', ')}`).join('; ');
  return h('figure', {},
    h('figcaption', {}, name),
    svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `${name}. ${said}` },
      ticks.map((value) => svg('g', { class: 'tick' },
        svg('line', { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }), svg('text', { x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end' }, value.toFixed(3)))),
      svg('text', { class: 'when', x: LEFT, y: HEIGHT - 6 }, when(ends[0])),
      svg('text', { class: 'when', x: WIDTH - RIGHT, y: HEIGHT - 6, 'text-anchor': 'end' }, when(ends[1])),
      lines.filter((line) => line.length).map((line) => svg('g', { class: classOf(line[0].version.model) },
        line.map(({ at, low, high }) => low < high && svg('line', { class: 'whisker', x1: x(at), x2: x(at), y1: y(low), y2: y(high) })),
        svg('polyline', { points: line.map(({ at, mean }) => `${x(at)},${y(mean)}`).join(' ') }),
        line.map(({ version, at, mean, low, high }) => svg('circle', { class: version.status, cx: x(at), cy: y(mean), r: version.status === 'active' ? 5 : 3.5 },
          svg('title', {}, `${version.model} ${version.version} (${version.status}): ${mean.toFixed(4)}${low < high ? `, ${low.toFixed(4)} to ${high.toFixed(4)}` : ''}`)))))));
}
