// The slowest and the failed requests of the last five minutes, each as a waterfall of its spans, from the proxy to the statement.

import { say } from "./admin.js";
import { frame, h, pill, show } from "./build.js";
import { unread } from "./fleet.js";
import * as format from "./format.js";

/** Attributes that the name of their span says, or that are always the same. */
const DULL = new Set(["http.request.method", "url.scheme", "server.address", "server.port", "http.route", "db.system.name", "db.namespace", "db.operation.name", "db.collection.name", "db.response.status_code", "network.protocol.version"]);

/** A whole trace id, by itself or in a `traceparent`. */
const WHOLE = /\b[0-9a-f]{32}\b/;

/** Most requests at once. */
const MOST = 50;

export class Requests {
  constructor() {
    this.title = "Requests";
    this.filter = "all";
    this.order = "slowest";
    /** What the trace ids have in them, of those that are shown. */
    this.sought = "";
    /** Those that are being read, by their ids: they stay, as they were. */
    this.open = new Map();
    this.note = h("div", {});
    this.list = h("div", { class: "requests" });
    this.element = h("div", {},
      h("p", { class: "muted" }, "The slowest requests of the last five minutes, and those that failed (5xx, broken off, or with a try that failed). New ones are asked for every ten seconds."),
      this.note,
      h("div", { class: "choices" },
        this.choice("filter", "Show", ["all", "slow", "failed"]), this.choice("order", "Order", ["slowest", "newest"]),
        h("p", { class: "field" }, h("label", { for: "sought" }, "Trace id"), h("input", {
          type: "search", id: "sought", size: "32", autocomplete: "off", spellcheck: "false",
          on: { input: event => this.seek(event.target.value) },
        }))),
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
    const isSought = request => request.id.includes(this.sought);
    const all = requests(kept(fleet)).filter(request => isSought(request) && (this.filter === "all" || request.why === this.filter));
    const by = this.order === "newest" ? (a, b) => b.started - a.started : (a, b) => b.took - a.took;
    const newest = all.sort(by).slice(0, MOST);
    for (const request of newest) if (this.open.has(request.id)) this.open.set(request.id, request);
    const shown = [...new Map([...newest, ...this.open.values()].map(request => [request.id, request])).values()].sort(by);
    const none = this.sought ? "None of those that are kept has this in its trace id." : "There are none.";
    const note = unread(fleet, "traces") || (shown.some(isSought) ? "" : none);
    const what = [this.filter, this.order, this.sought, note, shown.map(request => [request.id, request.trees.length])];
    show(this.list, what, () => [
      note ? h("p", {}, note) : null,
      shown.map(request => this.row(request)),
    ]);
  }

  /** Shows the requests that have `text` in their trace ids. That of a whole id is asked for, and opened. */
  async seek(text) {
    const lower = text.trim().toLowerCase();
    const sought = WHOLE.exec(lower)?.[0] ?? lower;
    this.sought = sought;
    this.update(this.fleet);
    if (!WHOLE.test(sought)) return;
    const request = await this.find(sought);
    if (request && this.sought === sought) this.reveal(request);
  }

  /** Goes to a request that another is linked with. */
  async follow(id) {
    const request = await this.find(id);
    if (request) this.reveal(request)?.querySelector("summary").focus();
    else say("bad", `No program that answers keeps the request of trace ${id}: it was neither slow nor failed, or is over five minutes old, or slower ones have taken its place.`);
  }

  /** The request of a trace, wherever it is kept; null if it is nowhere. */
  async find(id) {
    const members = this.fleet.members.filter(member => member.state !== "gone");
    const answers = await Promise.allSettled(members.map(member => member.trace(id)));
    const found = members.flatMap((member, at) => labelled(member, answers[at].value ?? []));
    // What a program has just let go of may still be here.
    const known = kept(this.fleet).filter(tree => tree.trace_id === id);
    return requests(found.length ? found : known)[0] ?? this.open.get(id) ?? null;
  }

  /** Opens a request, whether it would be in the list or not. Returns its element. */
  reveal(request) {
    this.open.set(request.id, request);
    this.update(this.fleet);
    const details = this.list.querySelector(`[data-trace="${CSS.escape(request.id)}"]`);
    // It may have been in the list, closed.
    if (details) details.open = true;
    return details;
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
      h("span", { class: "muted" }, request.trees.map(tree => tree.member).join(", "))), isOpen ? this.waterfall(request) : null);
    return details;
  }

  toggled(details, request) {
    // Those that are replaced by newer ones are not closed by the visitor.
    if (!details.isConnected) return;
    if (details.open) this.open.set(request.id, request);
    else this.open.delete(request.id);
    if (details.open && details.childElementCount === 1) details.append(this.waterfall(request));
  }

  waterfall(request) {
    return waterfall(request, id => this.follow(id));
  }
}

/** Trees of a program, which say whose they are. */
const labelled = (member, trees) => trees.map(tree => ({ ...tree, member: member.name }));

/** All trees that the programs had at the last look. */
const kept = fleet => fleet.members.flatMap(member => member.state === "gone" ? [] : labelled(member, member.traces ?? []));

/** Trees of one trace in several programs are one request. */
function requests(all) {
  const traces = new Map();
  for (const tree of all) {
    const trees = traces.get(tree.trace_id) ?? [];
    trees.push(tree);
    traces.set(tree.trace_id, trees);
  }
  return [...traces].map(([id, trees]) => {
    const ids = new Set(trees.flatMap(tree => tree.spans.map(span => span.span_id)));
    const hasParent = tree => ids.has(tree.spans[0]?.parent_id);
    trees.sort((a, b) => hasParent(a) - hasParent(b) || (a.started < b.started ? -1 : 1));
    const [first] = trees;
    const route = trees.map(tree => tree.route).find(route => route);
    return {
      id, trees, name: route ? `${first.method} ${route}` : first.method ? `${first.method} to ${first.name.split(" ").slice(1).join(" ")}` : first.name ?? "request", started: new Date(first.started),
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

/** The spans as bars over time. `follow` goes to the request of a trace. */
function waterfall(request, follow) {
  const all = spans(request);
  const end = Math.max(1, ...all.map(span => span.start + span.duration_us));
  const members = [...new Set(all.map(span => span.member))];
  const rows = all.map(span => {
    const bar = h("span", { class: `bar c${members.indexOf(span.member)}${span.error ? " failed" : ""}` });
    // Set by script, which the page's policy allows; an attribute it would not.
    bar.style.left = `${100 * span.start / end}%`;
    bar.style.width = `max(2px, ${100 * span.duration_us / end}%)`;
    const name = h("th", { scope: "row" }, h("span", { class: "span-name" }, span.name), span.error ? pill(span.error, "bad") : null, attributes(span), links(request, span, follow));
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
  if (all.length === 0) return null;
  const query = span.attributes["db.query.text"];
  const rest = all.filter(([name]) => name !== "db.query.text");
  return h("div", { class: "attributes" },
    query ? h("code", { class: "query" }, query) : null,
    rest.length ? h("span", { class: "muted" }, rest.map(([name, value]) => `${name} ${value}`).join(" · ")) : null);
}

/** Ways to the requests that a span is linked with. */
function links(request, span, follow) {
  const ids = [...new Set((span.links ?? []).map(link => link.trace_id))];
  if (ids.length === 0) return null;
  const button = id => h("button", {
    type: "button", "data-key": `link/${request.id}/${span.span_id}/${id}`, "aria-label": `${format.short(id)}: open the linked request`,
    on: { click: () => follow(id) },
  }, format.short(id));
  return h("div", { class: "links" }, h("span", { class: "muted" }, "linked with"), ids.map(button));
}
