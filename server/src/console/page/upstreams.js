// Upstreams of the proxies: how each stands, what it is sent, and taking it out and back.

import { h, pill, show, table } from "./build.js";
import { act, change, changeButton } from "./admin.js";
import * as format from "./format.js";

/** How long a drain waits for the upstream to be idle. */
const DRAIN = "60s";

const MOODS = { up: "good", unready: "bad", down: "bad", ejected: "bad", draining: "news", drained: "news" };

const WORDS = {
  up: "requests are sent there", unready: "its health check answers 503: it gets requests when nobody else can",
  down: "its health check fails", ejected: "left out for a while, because requests to it failed",
  draining: "gets no new requests, and still has some", drained: "taken out by an operator",
};

export class Upstreams {
  constructor() {
    this.title = "Upstreams";
    this.none = h("p", {}, "No proxy of this fleet answers. A host's console shows one if it was started with ",
      h("code", {}, "--console-peer proxy=http://127.0.0.1:8081"), ".");
    this.tables = h("div", {});
    this.element = h("div", {}, this.none, this.tables);
  }

  get wanted() {
    return [];
  }

  update(fleet) {
    const proxies = fleet.proxies.filter(proxy => proxy.status && proxy.state !== "gone");
    this.none.hidden = proxies.length > 0 || !fleet.hasLooked;
    const groups = proxies.flatMap(proxy => proxy.status.groups.map(group => this.group(proxy, group)));
    show(this.tables, groups.map(group => group.what), () => groups.map(group => group.section()));
  }

  group(proxy, group) {
    const rows = group.upstreams.map(upstream => this.row(proxy, group, upstream));
    const names = group.names ?? [];
    const columns = ["Upstream", "State", ...["Requests", "Errors", "p99", "In flight", "Waiting", "Ejections", "Weight"]
      .map(title => ({ title, class: "n" })), "Change"];
    return {
      what: [proxy.name, group.name, group.policy, names, rows.map(row => row.what)],
      section: () => h("section", { class: "card", "data-group": group.name },
        h("h2", {}, group.name, h("span", { class: "muted" }, ` at ${proxy.name}, by ${group.policy.replaceAll("_", " ")}`)),
        table(`Upstreams of ${group.name} at ${proxy.name}`, columns, rows.map(row => ({ cells: row.cells(), key: row.key }))),
        names.map(name => h("p", { class: name.trouble ? "bad" : "muted" },
          `${name.name} stands for ${name.addresses} addresses${name.trouble ? `; the last look-up failed: ${name.trouble}` : ""}`))),
    };
  }

  row(proxy, group, upstream) {
    const { address, name, state } = upstream;
    const line = `${group.name} ${address}`;
    const numbers = [
      format.value(proxy.recent("upstream_requests", 15, line), "/s"), format.value(proxy.recent("upstream_errors", 60, line), "/s"),
      format.value(proxy.last("upstream_p99", 30, line), "s"), format.count(upstream.in_flight), format.count(upstream.queued),
      upstream.ejections === undefined ? "–" : format.count(upstream.ejections), upstream.weight,
    ];
    return {
      key: address,
      what: [address, name, state, numbers],
      cells: () => [
        [address, name ? h("span", { class: "muted" }, ` ${name}`) : null],
        h("span", { title: WORDS[state] }, pill(state, MOODS[state] ?? "quiet"), state === "up" ? null : h("span", { class: "why" }, ` ${WORDS[state] ?? ""}`)),
        ...numbers, this.changes(proxy, address, state),
      ],
    };
  }

  changes(proxy, address, state) {
    const isOut = ["draining", "drained"].includes(state);
    const at = encodeURIComponent(address);
    const [word, path, done] = isOut
      ? ["Undrain", `/undrain?upstream=${at}`, () => `${address} gets requests again.`]
      : ["Drain", `/drain?upstream=${at}&timeout=${DRAIN}`, () => `${address} is drained: it has no requests left.`];
    return changeButton(`drain/${proxy.name}/${address}`, word, `${word} ${address}`, () => act(() => change(proxy, path), done));
  }
}
