// Swaps a component: a `.wasm` that is dropped or chosen, how it is to be tried, and on which hosts.

import { h, show } from "./build.js";
import { act, change, confirmed, say } from "./admin.js";
import * as format from "./format.js";

/** What each `.wasm` begins with. */
const MAGIC = [0x00, 0x61, 0x73, 0x6d];

export class Swap {
  /** `hosts` gives the hosts that serve the component now. */
  constructor(id, hosts) {
    this.id = id;
    this.hosts = hosts;
    const field = (name, attributes) => h("input", { id: `${id}-${name}`, ...attributes });
    const label = (name, ...words) => h("label", { for: `${id}-${name}` }, ...words);
    this.files = field("file", {
      type: "file", multiple: true, accept: ".wasm,.minisig",
      on: { change: () => this.take(this.files.files), click: event => { if (this.isBusy) event.preventDefault(); } },
    });
    this.isBusy = false;
    /** The host that was chosen, or "" for all; null before a choice. */
    this.chosen = null;
    this.where = h("select", { id: `${id}-where`, on: { change: () => { this.chosen = this.where.value; } } });
    this.canary = field("canary", { type: "checkbox", checked: true, on: { change: () => this.update() } });
    this.percent = field("percent", { type: "number", min: "0.1", max: "99.9", step: "0.1", value: "10", required: true });
    this.time = field("time", { type: "text", value: "30s", pattern: "[0-9]+(ms|s|m|h)", size: "5", required: true });
    this.trial = h("span", { class: "trial" }, label("percent", "share in %"), this.percent, label("time", "for"), this.time);
    this.zone = h("div", {
      class: "zone",
      on: {
        dragover: event => { event.preventDefault(); this.zone.classList.add("over"); },
        dragleave: () => this.zone.classList.remove("over"),
        drop: event => { event.preventDefault(); this.zone.classList.remove("over"); this.take(event.dataTransfer.files); },
      },
    }, label("file", h("strong", {}, `Drop a .wasm for ${id} here`), " or choose a file; its .minisig with it, if hosts ask for signatures"), this.files);
    this.element = h("details", { class: "swap" }, h("summary", {}, `Swap ${id}`),
      h("div", { class: "form" },
        h("p", {}, label("where", "On"), this.where),
        h("p", {}, this.canary, label("canary", "as a canary, which is promoted or withdrawn by itself"), this.trial),
        this.zone));
  }

  update() {
    const names = this.hosts().map(host => host.name);
    const { chosen } = this;
    show(this.where, [names, chosen], () => [
      names.length > 1 || chosen === "" ? h("option", { value: "" }, `all ${names.length} hosts, one after the other`) : null,
      ...names.map(name => h("option", { value: name, selected: name === chosen }, name)),
      // A choice stays as it was made.
      chosen && !names.includes(chosen) ? h("option", { value: chosen, selected: true, disabled: true }, `${chosen}, which is gone`) : null,
    ]);
    this.trial.hidden = !this.canary.checked;
  }

  /** Takes files for one swap at a time. */
  async take(files) {
    const given = [...files];
    this.files.value = "";
    if (this.isBusy) return say("bad", `A swap of ${this.id} is under way; nothing was done with another file.`);
    this.mark(true);
    try {
      return await this.offer(given);
    } finally {
      this.mark(false);
    }
  }

  mark(isBusy) {
    this.isBusy = isBusy;
    this.element.setAttribute("aria-busy", String(isBusy));
    this.files.setAttribute("aria-disabled", String(isBusy));
  }

  /** Asks whether this file is meant, and swaps it in. */
  async offer(files) {
    const file = files.find(file => !file.name.endsWith(".minisig"));
    if (!file) return say("bad", "There is no .wasm among these files.");
    const bytes = await file.arrayBuffer();
    const begins = new Uint8Array(bytes.slice(0, 4));
    if (!MAGIC.every((byte, at) => begins[at] === byte)) {
      return say("bad", `${file.name} is no WebAssembly component: it does not begin as one. Nothing was changed.`);
    }
    for (const input of [this.percent, this.time]) if (this.canary.checked && !input.reportValidity()) return undefined;
    const hosts = this.hosts().filter(host => this.where.value === "" || host.name === this.where.value);
    if (hosts.length === 0) return say("bad", `${this.where.value || "Every host"} is gone. Nothing was changed.`);
    const how = this.canary.checked ? `as a canary with ${this.percent.value} % of the requests, for ${this.time.value}` : "at once, for all requests";
    const title = `Swap ${this.id} on ${hosts.map(host => host.name).join(", ")}?`;
    if (!await confirmed(title, `${file.name} (${format.bytes(bytes.byteLength)}) ${how}.`, "Swap")) return undefined;
    return this.swap(hosts, bytes, await headers(bytes, files.find(file => file.name.endsWith(".minisig"))));
  }

  /** One host after the other, and none after the first that refuses. */
  async swap(hosts, bytes, headers) {
    const query = this.canary.checked ? `?canary=${this.percent.value}&for=${encodeURIComponent(this.time.value)}` : "";
    for (const host of hosts) {
      const work = () => change(host, `/components/${this.id}/swap${query}`, { body: bytes, headers });
      const done = answer => answer.canary
        ? `${host.name}: generation ${answer.generation} of ${this.id} is on trial.`
        : `${host.name}: generation ${answer.generation} of ${this.id} serves.`;
      if (!await act(work, done)) break;
    }
  }
}

const base64 = bytes => btoa(String.fromCharCode(...new Uint8Array(bytes)));

async function headers(bytes, signature) {
  const found = { "content-type": "application/wasm" };
  // Browsers have digests only where nobody can change the page on its way.
  if (globalThis.crypto?.subtle) found["content-digest"] = `sha-256=:${base64(await crypto.subtle.digest("SHA-256", bytes))}:`;
  if (signature) found["store-signature"] = base64(await signature.arrayBuffer());
  return found;
}
