// The first view: how the store does now, its programs, and the last fifteen minutes of one of them or of all hosts.

import { h, pill, show, table, text } from "./build.js";
import { Chart } from "./chart.js";
import { WINDOW_S } from "./fleet.js";
import * as format from "./format.js";

/** What stands for all hosts together in the choice. */
const ALL = "all hosts";

/** Panels that are part of another's chart, or of another view. */
const ELSEWHERE = new Set(["pool_size", "trial_requests", "trial_errors", "trial_p99"]);

/** How the hosts' values become one: the rest is added up. */
const HIGHEST = new Set(["p50", "p99"]);
const LOWEST = new Set(["report_age"]);
const MEAN = new Set(["cache_hits"]);

const sum = values => values.some(value => value !== null) ? values.reduce((all, value) => all + (value ?? 0), 0) : null;
const highest = values => values.some(value => value !== null) ? Math.max(...values.filter(value => value !== null)) : null;
const lowest = values => values.some(value => value !== null) ? Math.min(...values.filter(value => value !== null)) : null;

export class Overview {
  constructor() {
    this.title = "Overview";
    this.tiles = h("dl", { class: "tiles" });
    this.members = h("div", {});
    this.choice = h("fieldset", { class: "choice" });
    this.charts = h("div", { class: "charts" });
    this.note = h("p", { class: "muted" });
    this.chosen = null;
    this.drawn = new Map();
    this.element = h("div", {},
      h("section", { "aria-label": "Now" }, this.tiles),
      h("section", {}, h("h2", {}, "Programs"), this.members),
      h("section", {}, h("h2", {}, "The last 15 minutes"), this.choice, this.note, this.charts));
  }

  get wanted() {
    return [];
  }

  update(fleet) {
    this.fleet = fleet;
    this.updateTiles(fleet);
    this.updateMembers(fleet);
    this.updateChoice(fleet);
    this.updateCharts(fleet);
  }

  updateTiles(fleet) {
    // Clients' view is the proxy's, where there is one.
    const entrance = fleet.proxies.length ? fleet.proxies : fleet.hosts;
    const of = (panel, members, seconds) => members.map(member => member.recent(panel, seconds));
    const requests = sum(of("requests", entrance, 15));
    const minute = sum(of("requests", entrance, 60));
    const failed = sum(of("errors", entrance, 60));
    const share = minute > 0 ? failed / minute : minute === null ? null : 0;
    const last = (panel, members) => members.map(member => member.last(panel, 30));
    const whose = fleet.proxies.length ? "at the proxy" : "at the hosts";
    const reports = lowest(last("report_age", fleet.hosts));
    this.tile("requests", "Requests", format.value(requests, "/s"), `${whose}, last 15 s`);
    this.tile("errors", "Errors", format.value(share, "share"), "answers of 5xx, last minute", share > 0.01 ? "bad" : "");
    this.tile("p99", "Latency, p99", format.value(highest(last("p99", entrance)), "s"), `p50 ${format.value(highest(last("p50", entrance)), "s")}`);
    this.tile("in_flight", "In flight", format.value(sum(last("in_flight", fleet.hosts)), ""), "at the hosts");
    this.tile("cache_hits", "From the cache", format.value(highest(of("cache_hits", entrance, 60)), "share"), "of what it may answer, last minute");
    this.tile("report_age", "Age of the reports", reports === null ? "–" : format.span(reports), "since they were last made", reports > 180 ? "bad" : "");
  }

  tile(id, label, value, note, mood = "") {
    let tile = this.tiles.querySelector(`[data-tile="${id}"]`);
    if (!tile) {
      tile = h("div", { class: "tile", "data-tile": id }, h("dt", {}, label), h("dd", { class: "value" }), h("dd", { class: "note" }));
      this.tiles.append(tile);
    }
    tile.className = `tile ${mood}`;
    text(tile.querySelector(".value"), value);
    text(tile.querySelector(".note"), note);
  }

  updateMembers(fleet) {
    const columns = ["Program", "State",
      ...["Requests", "Errors", "p99", "In flight", "Processor", "Memory"].map(title => ({ title, class: "n" })), "Version"];
    const rows = fleet.members.map(member => this.row(member));
    show(this.members, rows.map(row => row.what), () =>
      table("Programs of the fleet", columns, rows.map(row => ({ cells: row.cells(), key: row.name }))));
  }

  row(member) {
    const gone = member.state === "gone";
    const value = (number, unit) => gone ? "–" : format.value(number, unit);
    const state = gone ? ["gone", "bad"] : member.trouble ? ["trouble", "bad"] : member.state === "unknown" ? ["unknown", "quiet"] : ["up", "good"];
    const why = gone ? `since ${format.clock(member.since)}: ${member.reason}` : member.trouble ?? "";
    const numbers = [
      value(member.recent("requests"), "/s"), value(member.recent("errors", 60), "/s"), value(member.last("p99", 30), "s"),
      value(member.last("in_flight"), ""), value(member.recent("cpu"), "cores"), value(member.last("memory"), "bytes"),
    ];
    const version = member.about ? `${member.about.version} (${member.about.commit})` : "–";
    return {
      name: member.name,
      what: [member.name, state, why, numbers, version],
      cells: () => [
        [member.name, member === this.fleet.own ? h("span", { class: "muted" }, " this page's") : null],
        [pill(...state), why ? h("span", { class: "why" }, ` ${why}`) : null],
        ...numbers, version,
      ],
    };
  }

  updateChoice(fleet) {
    const names = fleet.members.map(member => member.name);
    if (fleet.hosts.length > 1) names.unshift(ALL);
    if (!names.includes(this.chosen)) this.chosen = fleet.own.name;
    show(this.choice, [names, this.chosen], () => [
      h("legend", {}, "Charts of"),
      ...names.map((name, at) => h("span", {},
        h("input", {
          type: "radio", name: "charts-of", id: `charts-of-${at}`, checked: name === this.chosen || undefined, "data-key": name,
          on: { change: () => { this.chosen = name; this.update(fleet); } },
        }),
        h("label", { for: `charts-of-${at}` }, name))),
    ]);
  }

  updateCharts(fleet) {
    const member = fleet.members.find(member => member.name === this.chosen) ?? together(fleet.hosts);
    const from = performance.now() - WINDOW_S * 1000;
    text(this.note, this.chosen === ALL
      ? "All hosts together: rates and numbers are added up, latencies are those of the slowest host."
      : member.state === "gone" ? `${member.name} is gone; this is what it last said.` : "");
    this.note.hidden = !this.note.textContent;
    const wanted = new Map();
    for (const [id, panel] of member.panels) {
      if (ELSEWHERE.has(id)) continue;
      if (id === "p50") wanted.set("latency", { title: "Latency, all requests", unit: "s", lines: both(panel, member.panels.get("p99")) });
      const lines = [...panel.lines].map(([name, values]) => ({ name, values }));
      const named = lines.filter(line => line.name !== "");
      // The chart of all requests says it already.
      if (HIGHEST.has(id) && named.length === 1) continue;
      wanted.set(id, { ...panel, lines: [...telling(named, lines, panel.unit), ...limit(id, member)] });
    }
    for (const [id, panel] of wanted) this.chart(id, panel).update(member.times, panel.lines, from);
    for (const [id, chart] of this.drawn) if (!wanted.has(id)) { chart.element.remove(); this.drawn.delete(id); }
    // In the order of the panels, which differs between programs.
    [...wanted.keys()].forEach((id, at) => {
      const element = this.drawn.get(id).element;
      if (this.charts.children[at] !== element) this.charts.insertBefore(element, this.charts.children[at] ?? null);
    });
  }

  chart(id, panel) {
    const known = this.drawn.get(id);
    if (known && known.title === panel.title) return known;
    known?.element.remove();
    const chart = new Chart(id, panel.title, panel.unit);
    this.drawn.set(id, chart);
    return chart;
  }
}

/** Of lines by name those that say something: where nothing happens, the one of all together says so. */
function telling(named, lines, unit) {
  if (named.length === 0) return lines;
  if (unit !== "/s" || named.length === 1) return named;
  const moving = named.filter(line => line.values.some(value => value > 0));
  return moving.length ? moving : lines.filter(line => line.name === "");
}

/** The latency of all requests, in two lines. */
function both(p50, p99) {
  return [
    { name: "p99", values: p99?.lines.get("") ?? [], colour: 1, always: true },
    { name: "p50", values: p50.lines.get("") ?? [], colour: 0, always: true },
  ];
}

/** The line up to which a pool may grow. */
function limit(id, member) {
  const sizes = id === "pool_in_use" ? [...(member.panels.get("pool_size")?.lines ?? [])].filter(([name]) => name !== "") : [];
  if (!sizes.length) return [];
  const values = member.times.map((_, at) => lowest(sizes.map(([, values]) => values[at] ?? null)));
  return [{ name: "limit of each", values, colour: 7, stroke: "thin", always: true }];
}

/** All hosts as if they were one. */
function together(hosts) {
  const first = hosts[0] ?? { times: [], panels: new Map() };
  const step = first.times.length > 1 ? (first.times.at(-1) - first.times[0]) / (first.times.length - 1) : 3000;
  const places = hosts.map(host => nearest(first.times, host.times, step));
  const panels = new Map();
  for (const [id, panel] of first.panels) {
    const merge = HIGHEST.has(id) ? highest : LOWEST.has(id) ? lowest : sum;
    const names = new Set(hosts.flatMap(host => [...(host.panels.get(id)?.lines.keys() ?? [])]));
    const lines = new Map();
    for (const name of names) {
      lines.set(name, first.times.map((_, at) => {
        const values = hosts.map((host, number) => host.panels.get(id)?.lines.get(name)?.[places[number][at]] ?? null);
        const merged = merge(values);
        return merged !== null && MEAN.has(id) ? merged / values.filter(value => value !== null).length : merged;
      }));
    }
    panels.set(id, { ...panel, lines });
  }
  return { times: first.times, panels, state: "up" };
}

/** For each of `times`, the index of the nearest of `others`, or -1 if none is near. */
function nearest(times, others, step) {
  let at = 0;
  return times.map(time => {
    while (at + 1 < others.length && Math.abs(others[at + 1] - time) <= Math.abs(others[at] - time)) at += 1;
    return Math.abs((others[at] ?? Infinity) - time) <= step * 1.5 ? at : -1;
  });
}
