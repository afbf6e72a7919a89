// What is known of each program of the fleet: the samples of its last fifteen minutes, its status, its traces and its log.
// All of it comes from the listener that served this page, which asks the others.

/** How long the page shows. */
export const WINDOW_S = 900;

/** Longest wait for an answer. */
const PATIENCE_MS = 6000;

/** Between two looks at slow and failed requests, which are far more bytes than the rest: at every third look. */
const TRACES_MS = 8500;

/** Two tellings of one moment differ by less. */
const SAME_MOMENT_MS = 5000;

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  const type = answer.headers.get("content-type") ?? "";
  const body = type.includes("json") ? await answer.json() : await answer.text();
  if (!answer.ok) throw new Error(body.detail ?? `${path} is answered with ${answer.status}`);
  // Whoever's clock is set wrong, its times are compared with its own: what was passed on has it beside that of whoever did.
  const date = answer.headers.get("member-date") ?? answer.headers.get("date");
  return { body, at: date ? new Date(date) : new Date() };
}

/** One program. */
export class Member {
  constructor(name, base) {
    this.name = name;
    this.base = base;
    /** `up`, `gone` or `unknown`, since when, and why. */
    this.state = "unknown";
    this.since = new Date();
    this.reason = null;
    this.about = null;
    this.status = null;
    this.statusAt = null;
    /** Null before they were read. */
    this.traces = null;
    this.tracesAt = -Infinity;
    this.events = null;
    this.trouble = null;
    this.forget();
  }

  /** Takes what the program that served the page says of this one. */
  stand(told) {
    const since = new Date(Date.now() - told.for_s * 1000);
    // The same moment, told in whole seconds after a time that varies, is not said anew.
    if (told.state !== this.state || Math.abs(since - this.since) > SAME_MOMENT_MS) this.since = since;
    this.state = told.state;
    this.reason = told.reason;
  }

  forget() {
    this.position = "";
    this.times = [];
    this.panels = new Map();
  }

  get isProxy() {
    return this.about?.program === "store-proxy";
  }

  get isHost() {
    return this.about?.program === "store-host";
  }

  /** Asks for everything that `wanted` names. What can't be had stays as it was, and `trouble` says why. */
  async look(wanted) {
    try {
      if (!this.about) this.about = (await ask(`${this.base}/fleet`)).body.self;
      await Promise.all(wanted.map(what => this[what]()));
      // Its history is that of another process than it was.
      if (!this.position.startsWith(this.about.process ?? "")) this.about = (await ask(`${this.base}/fleet`)).body.self;
      this.trouble = null;
    } catch (error) {
      this.trouble = error.name === "TimeoutError" ? "no answer in time" : error.message;
      // It may be another program when it is back.
      this.about = this.about && { ...this.about, stale: true };
    }
  }

  async history() {
    const { body } = await ask(`${this.base}/history?after=${this.position}`);
    const now = performance.now();
    if (!body.continues) this.forget();
    const before = this.times.length;
    const added = body.ages_s.map(age => now - age * 1000);
    // While a machine sleeps, its browser's clock may stand still: what is known is older than it seemed. Answers alone are
    // not as late as this.
    const early = before && added.length ? this.times[before - 1] - added[0] : 0;
    if (early > PATIENCE_MS) this.times = this.times.map(time => time - early - body.step_s * 1000);
    this.times.push(...added);
    const excess = Math.max(0, this.times.length - body.samples);
    this.times.splice(0, excess);
    for (const panel of body.panels) this.extend(panel, before, excess, body.ages_s.length);
    this.position = body.position;
  }

  extend(panel, before, excess, added) {
    const known = this.panels.get(panel.id)?.lines ?? new Map();
    const lines = new Map();
    for (const line of panel.lines) {
      const values = known.get(line.name) ?? Array(before).fill(null);
      values.push(...line.values);
      lines.set(line.name, values.slice(excess));
    }
    // A line that was evicted there ends here.
    for (const [name, values] of known) {
      if (!lines.has(name)) {
        const shown = [...values, ...Array(added).fill(null)].slice(excess);
        if (shown.some(value => value !== null)) lines.set(name, shown);
      }
    }
    this.panels.set(panel.id, { title: panel.title, unit: panel.unit, lines });
  }

  async readStatus() {
    const { body, at } = await ask(`${this.base}/status`);
    this.status = body;
    this.statusAt = at;
  }

  async readTraces() {
    // The clock may have been set back meanwhile.
    if (Math.abs(performance.now() - this.tracesAt) < TRACES_MS) return;
    this.traces = (await ask(`${this.base}/traces`)).body;
    this.tracesAt = performance.now();
  }

  /** What the program keeps of one trace now, as it came since the last look or not. */
  async trace(id) {
    const { body } = await ask(`${this.base}/traces?trace=${encodeURIComponent(id)}`);
    // A program of before there was this query shows all.
    return body.filter(tree => tree.trace_id === id);
  }

  async readEvents() {
    this.events = (await ask(`${this.base}/events`)).body;
  }

  /** The values of a panel's line, by default that of all together. */
  line(panel, name = "") {
    return this.panels.get(panel)?.lines.get(name) ?? [];
  }

  /** The mean of a line's last values, over so many seconds. */
  recent(panel, seconds = 15, name = "") {
    const since = performance.now() - seconds * 1000;
    const values = this.line(panel, name).filter((value, at) => value !== null && this.times[at] >= since);
    return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
  }

  /** The last value of a line, of at most so many seconds ago. */
  last(panel, seconds = 15, name = "") {
    const values = this.line(panel, name);
    for (let at = values.length - 1; at >= 0; at -= 1) {
      if (performance.now() - this.times[at] > seconds * 1000) return null;
      if (values[at] !== null) return values[at];
    }
    return null;
  }
}

/** All programs. */
export class Fleet {
  constructor() {
    this.own = new Member("this program", "");
    /** By each name that there is: some may be of the same program. */
    this.named = [this.own];
    /** Since when the listener that served this page gives no answer. */
    this.silentSince = null;
    /** Whether everybody was looked at once. */
    this.hasLooked = false;
  }

  /** Each program once, by the first of its names. */
  get members() {
    const known = new Set();
    return this.named.filter(({ about }) => {
      if (!about?.process) return true;
      const isNew = !known.has(about.process);
      known.add(about.process);
      return isNew;
    });
  }

  get hosts() {
    return this.members.filter(member => member.isHost);
  }

  get proxies() {
    return this.members.filter(member => member.isProxy);
  }

  /** Looks once at everybody. */
  async look(wanted) {
    try {
      const { body } = await ask("/fleet");
      this.silentSince = null;
      this.take(body);
    } catch {
      this.silentSince ??= new Date();
      return;
    }
    await Promise.all(this.named.map(member => member.state === "gone" ? null : member.look(wanted)));
    this.hasLooked = true;
  }

  take(body) {
    const own = this.own;
    if (own.about?.name !== body.self.name) own.name = body.self.name;
    own.about = body.self;
    own.state = "up";
    const known = new Map(this.named.map(member => [member.name, member]));
    const others = body.members.map(told => {
      // Names can stand in a path as they are.
      const member = known.get(told.name) ?? new Member(told.name, `/fleet/${told.name}`);
      if (told.state === "up" && member.about?.stale) member.about = null;
      member.stand(told);
      return member;
    });
    this.named = [own, ...others];
  }
}

/** Says whose `what` was never read; nothing if there is none. */
export function unread(fleet, what) {
  const names = fleet.members.filter(member => member.state !== "gone" && member[what] === null).map(member => member.name);
  return names.length ? `Not read yet from ${names.join(", ")}.` : "";
}
