// The slowest and the failed requests of the last minute, each as a waterfall of its spans, from the proxy to the statement.

import { frame, h, pill, show } from "./build.js";
import { unread } from "./fleet.js";
import * as format from "./format.js";

/** Attributes that the name of their span says, or that are always the same. */
const DULL = new Set(["http.request.method", "url.scheme", "server.address", "server.port", "http.route", "db.system.name", "db.namespace", "db.operation.name", "db.collection.name"]);

/** Most requests at once. */
const MOST = 50;

export class Requests {
  constructor() {
    this.title = "Requests";
    this.filter = "all";
    this.order = "slowest";
    /** Those that are being read, by their ids: they stay, as they were. */
    this.open = new Map();
    this.note = h("div", {});
    this.list = h("div", { class: "requests" });
    this.element = h("div", {},
      h("p", { class: "muted" }, "Requests of the last minute that failed (5xx, or broken off) or were slow."),
      this.note,
      h("div", { class: "choices" },
        this.choice("filter", "Show", ["all", "slow", "failed"]), this.choice("order", "Order", ["slowest", "newest"])),
      this.list);
  }

  get wanted() {
    return ["readTraces"];
  }

  choice(what, legend, names) {
    return h("fieldset", { class: "choice" }, h("legend", {}, legend), names.map(name => h("span", {},
      h("input", {
        type: "radio", name: what, id: `${what}-${name}`, checked: this[what] === name || undefined,
        on: { change: () => { this[what] = name; this.update(this.fleet); } },
      }),
      h("label", { for: `${what}-${name}` }, name))));
  }

  update(fleet) {
    this.fleet = fleet;
    const off = fleet.members.filter(member => member.state !== "gone" && member.about?.keeps_traces === false);
    show(this.note, off.map(member => member.name), () => off.length === 0 ? [] : [
      h("p", { class: "hint" }, `${off.map(member => member.name).join(", ")} ${off.length === 1 ? "keeps" : "keep"} none. To have them kept, start a host with `,
        h("code", {}, "--trace-tail"), ", and a proxy with ", h("code", {}, "tail = true"), " in ", h("code", {}, "[trace]"),
        ". What counts as slow, ", h("code", {}, "--trace-slow"), " and ", h("code", {}, "slow"), " say."),
    ]);
    const all = requests(fleet).filter(request => this.filter === "all" || request.why === this.filter);
    const by = this.order === "newest" ? (a, b) => b.started - a.started : (a, b) => b.took - a.took;
    const newest = all.sort(by).slice(0, MOST);
    for (const request of newest) if (this.open.has(request.id)) this.open.set(request.id, request);
    const shown = [...new Map([...newest, ...this.open.values()].map(request => [request.id, request])).values()].sort(by);
    const note = unread(fleet, "traces") || (shown.length ? "" : "There are none.");
    const what = [this.filter, this.order, note, shown.map(request => [request.id, request.trees.length])];
    show(this.list, what, () => [
      note ? h("p", {}, note) : null,
      shown.map(request => this.row(request)),
    ]);
  }

  row(request) {
    const isOpen = this.open.has(request.id);
    const details = h("details", {
      class: "request", "data-trace": request.id, open: isOpen,
      on: { toggle: () => this.toggled(details, request) },
    }, h("summary", { "data-key": `summary/${request.id}` },
      h("span", { class: "when" }, format.clock(request.started)),
      h("span", { class: "what" }, request.name),
      pill(request.why, request.why === "failed" ? "bad" : "news"),
      h("span", { class: "n" }, request.status ?? "–"),
      h("span", { class: "n" }, format.seconds(request.took / 1e6)),
      h("span", { class: "muted" }, request.trees.map(tree => tree.member).join(", "))), isOpen ? waterfall(request) : null);
    return details;
  }

  toggled(details, request) {
    // Those that are replaced by newer ones are not closed by the visitor.
    if (!details.isConnected) return;
    if (details.open) this.open.set(request.id, request);
    else this.open.delete(request.id);
    if (details.open && details.childElementCount === 1) details.append(waterfall(request));
  }
}

/** Trees of one trace in several programs are one request. */
function requests(fleet) {
  const traces = new Map();
  for (const member of fleet.members) {
    for (const tree of member.state === "gone" ? [] : member.traces ?? []) {
      const trees = traces.get(tree.trace_id) ?? [];
      trees.push({ ...tree, member: member.name });
      traces.set(tree.trace_id, trees);
    }
  }
  return [...traces].map(([id, trees]) => {
    const ids = new Set(trees.flatMap(tree => tree.spans.map(span => span.span_id)));
    const hasParent = tree => ids.has(tree.spans[0]?.parent_id);
    trees.sort((a, b) => hasParent(a) - hasParent(b) || (a.started < b.started ? -1 : 1));
    const [first] = trees;
    const route = trees.map(tree => tree.route).find(route => route);
    return {
      id, trees, name: route ? `${first.method} ${route}` : first.method ? `${first.method} to ${first.name.slice(first.method.length + 1)}` : first.name ?? "request", started: new Date(first.started),
      took: first.duration_ms * 1000, status: first.status,
      why: trees.some(tree => tree.why === "failed") ? "failed" : "slow",
    };
  });
}

/** All spans of a request by their time from its beginning, each behind the one that it is part of. */
function spans(request) {
  const all = new Map();
  const origin = new Date(request.trees[0].started).getTime();
  for (const tree of request.trees) {
    const root = tree.spans[0];
    const parent = all.get(root?.parent_id);
    let offset = micros(tree.started, origin);
    // Two machines' clocks differ: a part lies within the whole.
    // A tree's spans begin with its request, which may be a little after the tree.
    offset -= root?.start_us ?? 0;
    if (parent) offset = Math.max(parent.start, Math.min(offset, parent.start + Math.max(0, parent.duration_us - root.duration_us)));
    for (const span of tree.spans) {
      all.set(span.span_id, { ...span, member: tree.member, start: offset + span.start_us, parts: [] });
    }
  }
  const tops = [];
  for (const span of all.values()) (all.get(span.parent_id)?.parts ?? tops).push(span);
  const order = [];
  const visit = (span, depth) => {
    order.push({ ...span, depth });
    span.parts.sort((a, b) => a.start - b.start).forEach(part => visit(part, depth + 1));
  };
  tops.forEach(span => visit(span, 0));
  return order;
}

/** Microseconds from `origin` to a time that has six digits of them. */
function micros(text, origin) {
  const digits = /\.\d{3}(\d{3})/.exec(text)?.[1] ?? "0";
  return (new Date(text).getTime() - origin) * 1000 + Number(digits);
}

function waterfall(request) {
  const all = spans(request);
  const end = Math.max(1, ...all.map(span => span.start + span.duration_us));
  const members = [...new Set(all.map(span => span.member))];
  const rows = all.map(span => {
    const bar = h("span", { class: `bar c${members.indexOf(span.member)}${span.error ? " failed" : ""}` });
    // Set by script, which the page's policy allows; an attribute it would not.
    bar.style.left = `${100 * span.start / end}%`;
    bar.style.width = `max(2px, ${100 * span.duration_us / end}%)`;
    const name = h("th", { scope: "row" }, h("span", { class: "span-name" }, span.name), span.error ? pill(span.error, "bad") : null, attributes(span));
    name.firstChild.style.paddingInlineStart = `${span.depth * 0.9}rem`;
    return h("tr", {}, name, h("td", {}, span.member), h("td", { class: "n" }, format.seconds(span.start / 1e6)),
      h("td", { class: "n" }, format.seconds(span.duration_us / 1e6)), h("td", { class: "lane" }, h("span", { class: "rail" }, bar)));
  });
  const left = request.trees.reduce((sum, tree) => sum + (tree.spans_left_out ?? 0), 0);
  return frame(`Spans of ${request.name}, trace ${request.id}`,
    h("table", { class: "waterfall" },
      h("caption", {}, `Trace ${request.id}${left ? `, ${left} spans left out` : ""}`),
      h("thead", {}, h("tr", {}, ["Span", "Program", "Begins", "Takes"].map((title, at) => h("th", { scope: "col", class: at > 1 ? "n" : undefined }, title)),
        h("th", { scope: "col" }, `0 to ${format.seconds(end / 1e6)}`))),
      h("tbody", {}, rows)));
}

function attributes(span) {
  const all = Object.entries(span.attributes ?? {}).filter(([name]) => !DULL.has(name));
  const links = (span.links ?? []).map(link => ["linked with", link.trace_id]);
  if (all.length + links.length === 0) return null;
  const query = span.attributes["db.query.text"];
  const rest = [...all.filter(([name]) => name !== "db.query.text"), ...links];
  return h("div", { class: "attributes" },
    query ? h("code", { class: "query" }, query) : null,
    rest.length ? h("span", { class: "muted" }, rest.map(([name, value]) => `${name} ${value}`).join(" · ")) : null);
}
