// A small chart of lines over time: axes with units, a legend with the numbers, and a cursor by pointer or arrow keys.

import { h, s, text } from "./build.js";
import * as format from "./format.js";

const HEIGHT = 132;
const TOP = 8;
const BOTTOM = 18;
const LEFT = 52;
const RIGHT = 8;

/** Most lines of one chart; those with the smallest numbers are left out. */
const MOST = 6;

/** Colours that there are for lines. Each has dashes of its own, so that lines don't differ by colour alone. */
export const COLOURS = 9;

const latest = values => {
  for (let at = values.length - 1; at >= Math.max(0, values.length - 4); at -= 1) {
    if (values[at] !== null) return values[at];
  }
  return null;
};
const sum = values => values.reduce((sum, value) => sum + (value ?? 0), 0);

export class Chart {
  /** `id` is its panel's, `unit` that of its numbers. */
  constructor(id, title, unit) {
    this.unit = unit;
    this.title = title;
    this.colours = new Map();
    this.cursor = null;
    this.now = h("span", { class: "now" });
    this.svg = s("svg", { height: HEIGHT, "aria-hidden": "true", focusable: "false" });
    this.frame = h("div", {
      class: "plot", tabindex: "0", role: "img", "aria-roledescription": "chart",
      on: {
        pointermove: event => this.point(event.offsetX),
        pointerleave: () => this.point(null),
        blur: () => this.point(null),
        keydown: event => this.key(event),
      },
    }, this.svg);
    this.legend = h("ul", { class: "legend" });
    this.element = h("figure", { class: "chart", "data-panel": id },
      h("figcaption", {}, h("h3", {}, title), this.now), this.frame, this.legend);
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.frame);
  }

  /**
   * Shows lines (`name`, `values`, and perhaps `colour`, `always`, and `stroke`: `strong` or `thin`) over `times`, which are
   * milliseconds of performance.now(), from `from` on.
   */
  update(times, lines, from) {
    this.times = times;
    this.from = from;
    const shown = lines.filter(line => line.always || line.values.some(value => value !== null));
    const weight = line => line.always ? Infinity : sum(line.values.slice(-40)) * 1e6 + sum(line.values);
    const kept = new Set([...shown].sort((a, b) => weight(b) - weight(a)).slice(0, MOST));
    this.lines = shown.filter(line => kept.has(line));
    this.hidden = shown.length - this.lines.length;
    this.draw();
  }

  colour(line) {
    if (line.colour !== undefined) return line.colour;
    if (!this.colours.has(line.name)) {
      const used = new Set(this.lines.map(line => this.colours.get(line.name)));
      const free = [...Array(COLOURS).keys()].find(colour => !used.has(colour));
      this.colours.set(line.name, free ?? this.colours.size % COLOURS);
    }
    return this.colours.get(line.name);
  }

  draw() {
    const width = this.frame.clientWidth;
    if (!this.lines || width < 60) return;
    this.width = width;
    const now = performance.now();
    const most = Math.max(0, ...this.lines.flatMap(line => line.values.filter((_, at) => this.times[at] >= this.from)));
    const ticks = format.steps(most, this.unit);
    const top = ticks[ticks.length - 1];
    this.x = time => LEFT + (width - LEFT - RIGHT) * (time - this.from) / Math.max(1, now - this.from);
    this.y = value => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("width", width);
    this.svg.replaceChildren(...this.axes(ticks, now), ...this.lines.map(line => this.path(line)), ...this.marker());
    this.numbers(now);
  }

  axes(ticks, now) {
    const right = this.width - RIGHT;
    const levels = ticks.map(tick => [
      s("line", { class: "grid", x1: LEFT, x2: right, y1: this.y(tick), y2: this.y(tick) }),
      s("text", { class: "tick", x: LEFT - 6, y: this.y(tick) + 4, "text-anchor": "end" }, tick === 0 ? "0" : format.value(tick, this.unit)),
    ]);
    const length = (now - this.from) / 1000;
    const step = [10, 30, 60, 300].find(step => length / step <= 4) ?? 300;
    const times = [];
    for (let ago = 0; ago <= length + 1; ago += step) {
      const x = this.x(now - ago * 1000);
      const label = ago === 0 ? "now" : ago % 60 === 0 ? `−${ago / 60} min` : `−${ago} s`;
      const anchor = ago === 0 ? "end" : x < LEFT + 24 ? "start" : "middle";
      times.push(s("text", { class: "tick", x: ago === 0 ? right : Math.max(x, LEFT), y: HEIGHT - 3, "text-anchor": anchor }, label));
    }
    return [levels, times].flat(2);
  }

  path(line) {
    let path = "";
    let drawing = false;
    line.values.forEach((value, at) => {
      const visible = value !== null && this.times[at] >= this.from;
      if (visible) {
        const place = `${this.x(this.times[at]).toFixed(1)} ${this.y(value).toFixed(1)}`;
        // The stroke of no length is a dot, where neighbours are missing.
        path += drawing ? `L${place}` : `M${place}h.01`;
      }
      drawing = visible;
    });
    return s("path", { class: this.look(line), d: path || "M0 0" });
  }

  /** The classes of a line, and of its key in the legend. */
  look(line) {
    return `line c${this.colour(line)}${line.stroke ? ` ${line.stroke}` : ""}`;
  }

  marker() {
    if (this.cursor === null || !(this.times[this.cursor] >= this.from)) return [];
    const x = this.x(this.times[this.cursor]);
    const dots = this.lines.filter(line => line.values[this.cursor] !== null && line.values[this.cursor] !== undefined);
    return [
      s("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }),
      ...dots.map(line => s("circle", { class: `dot c${this.colour(line)}`, cx: x, cy: this.y(line.values[this.cursor]), r: 3 })),
    ];
  }

  /** The legend: each line's number at the cursor, or now. */
  numbers(now) {
    const at = this.cursor;
    const number = line => at === null ? latest(line.values) : line.values[at] ?? null;
    const ago = at === null ? "" : `${format.span((now - this.times[at]) / 1000)} ago`;
    text(this.now, ago);
    const rows = this.lines.map(line => h("li", {},
      s("svg", { class: "key", width: 28, height: 8, "aria-hidden": "true", focusable: "false" },
        s("path", { class: this.look(line), d: "M1 4h26" })),
      h("span", { class: "name" }, line.name || "all"),
      h("span", { class: "number" }, format.value(number(line), this.unit))));
    if (this.hidden > 0) rows.push(h("li", { class: "muted" }, `and ${this.hidden} with smaller numbers`));
    if (this.lines.length === 0) rows.push(h("li", { class: "muted" }, "nothing yet"));
    this.legend.replaceChildren(...rows);
    const said = this.lines.map(line => `${line.name || "all"} ${format.value(number(line), this.unit)}`).join(", ");
    this.frame.setAttribute("aria-label", `${this.title}, ${ago || "now"}: ${said || "nothing yet"}. Arrow keys go back in time.`);
  }

  point(x) {
    if (!this.lines || !this.times.length) return;
    const before = this.cursor;
    this.cursor = null;
    if (x !== null) {
      let best = Infinity;
      this.times.forEach((time, at) => {
        const far = Math.abs(this.x(time) - x);
        if (time >= this.from && far < best) [best, this.cursor] = [far, at];
      });
    }
    if (before !== this.cursor) this.draw();
  }

  key(event) {
    const last = this.times?.length - 1;
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -last, End: last };
    if (!(event.key in moves) || !(last >= 0)) {
      if (event.key === "Escape") this.point(null);
      return;
    }
    event.preventDefault();
    const first = this.times.findIndex(time => time >= this.from);
    this.cursor = Math.min(last, Math.max(first, (this.cursor ?? last + 1) + moves[event.key]));
    this.draw();
  }
}
