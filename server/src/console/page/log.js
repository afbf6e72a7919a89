// The audit log and the last warnings of all programs.

import { h, pill, show, table } from "./build.js";
import { unread } from "./fleet.js";
import * as format from "./format.js";

const MOODS = { error: "bad", warn: "bad", info: "quiet" };

/** Fields that have a column, or that the message repeats. */
const ELSEWHERE = new Set(["message", "peer"]);

export class Log {
  constructor() {
    this.title = "Log";
    this.audit = h("div", {});
    this.warnings = h("div", {});
    this.element = h("div", {},
      h("section", {}, h("h2", {}, "Changes"),
        h("p", { class: "muted" }, "Who asked for a change, and what came of it: the last 200 changes and the last 200 that were refused or failed, of each program since its start."), this.audit),
      h("section", {}, h("h2", {}, "Warnings"),
        h("p", { class: "muted" }, "The last 200 of each program since its start. What components write is in their host's log only."), this.warnings));
  }

  get wanted() {
    return ["readEvents"];
  }

  update(fleet) {
    this.lines(this.audit, fleet, "audit", "Changes", "Nobody has changed anything yet.");
    this.lines(this.warnings, fleet, "warnings", "Warnings", "There are none.");
  }

  lines(node, fleet, kind, label, none) {
    const lines = fleet.members.flatMap(member => (member.events?.[kind] ?? []).map(line => ({ member: member.name, ...line })));
    lines.sort((a, b) => a.at < b.at ? 1 : -1);
    const columns = ["Time", "Program", "Level", "What", kind === "audit" ? "By" : "From", "Details"];
    const note = unread(fleet, "events") || (lines.length ? "" : none);
    show(node, [note, lines], () => [
      note ? h("p", {}, note) : null,
      lines.length ? table(label, columns, lines.map(line => ({ cells: cells(kind, line) }))) : null,
    ]);
  }
}

function cells(kind, line) {
  const fields = Object.entries(line.fields ?? {}).filter(([name]) => !ELSEWHERE.has(name));
  const digest = (name, value) => name === "digest" ? format.short(String(value)) : String(value);
  return [
    format.moment(line.at), line.member, pill(line.level, MOODS[line.level] ?? "quiet"),
    h("span", { class: "words" }, line.message, line.times > 1 ? h("span", { class: "muted" }, ` (${format.count(line.times)} times)`) : null),
    kind === "audit" ? line.fields?.peer ?? "–" : h("code", {}, line.target),
    h("span", { class: "words muted" }, fields.map(([name, value]) => `${name} ${digest(name, value)}`).join(", ")),
  ];
}
