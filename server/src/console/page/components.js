// Components: which generations of each serve on which host, and their changes.

import { h, pill, s, show, table } from "./build.js";
import { act, change, changeButton, confirmed } from "./admin.js";
import { Trials } from "./canary.js";
import * as format from "./format.js";
import { Swap } from "./swap.js";

const MOODS = { live: "good", canary: "news", draining: "quiet", kept: "quiet" };

export class Components {
  constructor() {
    this.title = "Components";
    this.none = h("p", {}, "No host of this fleet answers. A console shows the hosts that it was started with: ",
      h("code", {}, "store-host --console-peer NAME=URL"), ", or ", h("code", {}, "[console] peers"), " of the proxy.");
    this.element = h("div", {}, this.none);
    this.cards = new Map();
  }

  get wanted() {
    return [...this.cards.values()].some(card => card.trials.needsLog) ? ["readEvents"] : [];
  }

  update(fleet) {
    const hosts = fleet.hosts.filter(host => host.status && host.state !== "gone");
    this.none.hidden = hosts.length > 0 || !fleet.hasLooked;
    const ids = new Set(hosts.flatMap(host => host.status.components.map(component => component.component)));
    for (const [id, card] of this.cards) if (!ids.has(id)) { card.element.remove(); this.cards.delete(id); }
    for (const id of [...ids].sort()) {
      if (!this.cards.has(id)) {
        this.cards.set(id, new Card(id));
        this.element.append(this.cards.get(id).element);
      }
      this.cards.get(id).update(hosts.filter(host => component(host, id)));
    }
  }
}

const component = (host, id) => host.status.components.find(component => component.component === id);

/** One component on all hosts that serve it. */
class Card {
  constructor(id) {
    this.id = id;
    this.hosts = [];
    this.generations = h("div", {});
    this.last = h("div", {});
    this.trials = new Trials(id);
    this.swap = new Swap(id, () => this.hosts);
    this.element = h("section", { class: "card", "data-component": id },
      h("h2", {}, id), this.generations, this.trials.element, this.last, this.swap.element);
  }

  update(hosts) {
    this.hosts = hosts;
    const rows = hosts.flatMap(host => component(host, this.id).generations.map(generation => this.row(host, generation)));
    const columns = ["Host", { title: "Generation", class: "n" }, "State", { title: "Share", class: "n" }, { title: "In flight", class: "n" },
      "Since", "From", "Digest", "Change"];
    show(this.generations, rows.map(row => row.what), () =>
      table(`Generations of ${this.id}`, columns, rows.map(row => ({ cells: row.cells(), key: row.key, class: row.what[2] }))));
    const lasts = hosts.map(host => ({ host, last: component(host, this.id).last })).filter(({ last }) => last);
    show(this.last, lasts.map(({ host, last }) => [host.name, last]), () => lasts.map(({ host, last }) =>
      h("p", { class: "last" }, `${host.name}: generation ${last.generation} `,
        pill(last.result, last.reason ? "bad" : "good"), last.reason ? ` ${last.reason}` : "")));
    this.trials.update(hosts, hosts.map(host => component(host, this.id)));
    this.swap.update();
  }

  row(host, generation) {
    const key = `${host.name}/${generation.generation}`;
    return {
      key,
      what: [host.name, generation.generation, generation.state, generation.share, generation.in_flight, generation.since, generation.digest],
      cells: () => [
        host.name, generation.generation, pill(generation.state, MOODS[generation.state] ?? "quiet"), share(generation.share),
        format.count(generation.in_flight), format.moment(generation.since), generation.source,
        h("code", { title: generation.digest }, format.short(generation.digest)), this.changes(host, generation, key),
      ],
    };
  }

  changes(host, generation, key) {
    const which = `generation ${generation.generation} of ${this.id} on ${host.name}`;
    if (generation.state === "kept") {
      return changeButton(`back/${this.id}/${key}`, "Roll back to it", `Roll back to it: ${which}`, () => this.rollBack(host, generation));
    }
    if (generation.state !== "canary") return "";
    const button = (word, path, done) => changeButton(`${path}/${this.id}/${key}`, word, `${word} ${which}`,
      () => act(() => change(host, `/components/${this.id}/${path}`), done));
    return h("span", { class: "buttons" },
      button("Promote", "promote", answer => `${host.name}: generation ${answer.generation} of ${this.id} is promoted.`),
      button("Abort", "abort", answer => `${host.name}: the trial of generation ${answer.generation} of ${this.id} is aborted.`));
  }

  async rollBack(host, generation) {
    const number = generation.generation;
    const words = `Generation ${number} (${format.short(generation.digest)}) serves again at once; the live one is kept.`;
    if (!await confirmed(`Roll ${this.id} on ${host.name} back to generation ${number}?`, words, "Roll back")) return;
    await act(() => change(host, `/components/${this.id}/rollback?generation=${number}`),
      answer => `${host.name}: generation ${answer.generation} of ${this.id} serves again.`);
  }
}

function share(value) {
  if (value === 0) return "–";
  return h("span", { class: "share" },
    s("svg", { width: 40, height: 8, "aria-hidden": "true", focusable: "false" },
      s("rect", { class: "rail", width: 40, height: 8, rx: 4 }), s("rect", { class: "part", width: Math.max(2, 40 * value), height: 8, rx: 4 })),
    format.value(value, "share"));
}
