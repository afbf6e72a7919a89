// A canary beside the stable version while it is tried, and for a while after.

import { h, pill, show } from "./build.js";
import { Chart, COLOURS } from "./chart.js";
import { compared, mirrored, passed, sum } from "./compared.js";
import { fate, STROKES, told } from "./fate.js";
import { WINDOW_S } from "./fleet.js";
import * as format from "./format.js";

/** What a host says of a trial so far, as a heading. */
const VERDICTS = { good: "would be promoted", bad: "would be withdrawn", "too few": "too few requests so far" };

/** Ends of a trial that nobody hopes for. */
const ENDED_BADLY = new Set(["withdrawn", "aborted"]);

const PANELS = [["trial_requests", "Requests", "/s"], ["trial_errors", "Errors (5xx)", "/s"], ["trial_p99", "Latency, p99", "s"]];

/** The trials of one component, one for each host. */
export class Trials {
  constructor(id) {
    this.id = id;
    this.element = h("div", { class: "trials" });
    this.shown = new Map();
  }

  /** `components` are what the status of each of `hosts` says of the component. */
  update(hosts, components) {
    // What a host that is gone last said of its trial is no longer so.
    for (const name of [...this.shown.keys()]) if (!hosts.some(host => host.name === name)) this.remove(name);
    hosts.forEach((host, at) => {
      const name = host.name;
      const trial = components[at].canary;
      const generations = this.tried(host);
      if (!trial && generations.length === 0) {
        this.remove(name);
        return;
      }
      if (!this.shown.has(name)) {
        this.shown.set(name, new Trial(this.id, name));
        this.element.append(this.shown.get(name).element);
      }
      this.shown.get(name).update(host, trial, components[at], generations, sum(components[at], components));
    });
  }

  remove(name) {
    this.shown.get(name)?.element.remove();
    this.shown.delete(name);
  }

  /** Whether only the hosts' logs know what became of a version that is drawn. */
  get needsLog() {
    return [...this.shown.values()].some(trial => trial.needsLog);
  }

  /** The generations that the host's memory still has the trial of. */
  tried(host) {
    const names = [...(host.panels.get("trial_requests")?.lines ?? [])]
      .filter(([name, values]) => name.startsWith(`${this.id} `) && values.some(value => value > 0));
    return names.map(([name]) => Number(name.slice(this.id.length + 1))).sort((a, b) => a - b);
  }
}

/** The trial on one host. */
class Trial {
  constructor(id, host) {
    this.id = id;
    this.needsLog = false;
    this.heading = h("div", {});
    this.numbers = h("div", {});
    this.before = h("div", {});
    this.charts = PANELS.map(([panel, title, unit]) => new Chart(panel, title, unit));
    this.element = h("section", { class: "trial-of", "data-host": host, "aria-label": `Trial of ${id} on ${host}` },
      this.heading, this.numbers, this.before, h("div", { class: "charts" }, this.charts.map(chart => chart.element)));
  }

  update(host, trial, component, generations, all) {
    // The newest of those that were compared.
    const canary = trial?.generation ?? Math.max(...generations);
    const drawn = [...new Set([...generations, canary])];
    this.needsLog = drawn.some(number => !told(component, number));
    this.head(host, trial, component, canary);
    this.compare(trial, all, `${this.id} on ${host.name}`);
    const from = this.begin(host, canary);
    for (const [at, [panel]] of PANELS.entries()) {
      this.charts[at].update(host.times, this.lines(host, panel, component, drawn), from);
    }
  }

  head(host, trial, component, canary) {
    const parts = trial ? progress(host, trial) : ["trial over"];
    const end = component.last?.generation === canary ? component.last : null;
    const why = trial ? trial.why : end?.reason;
    const words = trial ? VERDICTS[trial.verdict] ?? "on trial" : end?.result ?? fate(host, component, canary);
    const bad = trial ? trial.verdict === "bad" : Boolean(end?.reason) || ENDED_BADLY.has(words);
    show(this.heading, [host.name, canary, parts, words, why], () => [
      h("h3", {}, `Generation ${canary} on ${host.name}: `, pill(words, bad ? "bad" : "good"), h("span", { class: "muted" }, ` ${parts.join(", ")}`)),
      why ? h("p", { class: "why" }, why) : null,
    ]);
  }

  compare(trial, all, what) {
    this.numbers.hidden = this.before.hidden = !trial;
    if (!trial) return;
    show(this.numbers, [trial, all], () => compared(what, trial, all));
    show(this.before, [trial.passed, trial.mirror], () => [passed(what, trial), mirrored(what, trial)]);
  }

  /** A line for each version. Its colour and dashes stay, whatever becomes of it; that, its name and its width say. */
  lines(host, panel, component, generations) {
    return generations.map(number => {
      const word = fate(host, component, number);
      return {
        name: `${word} (${number})`,
        values: host.line(panel, `${this.id} ${number}`),
        colour: number % COLOURS,
        stroke: STROKES[word],
        always: ["on trial", "stable"].includes(word) || generations.length <= 2,
      };
    }).filter(line => line.values.length);
  }

  /** A little before the canary's first request. */
  begin(host, canary) {
    const values = host.line("trial_requests", `${this.id} ${canary}`);
    const first = values.findIndex(value => value !== null);
    const earliest = performance.now() - WINDOW_S * 1000;
    const began = first < 0 ? performance.now() - 60_000 : host.times[first] - 10_000;
    return Math.max(earliest, Math.min(began, performance.now() - 60_000));
  }
}

/** Where a trial is, in a few words each. */
function progress(host, trial) {
  const steps = trial.steps ?? [];
  const parts = steps.length > 1 && trial.step !== null ? [`step ${trial.step + 1} of ${steps.length}`] : [];
  parts.push(trial.mirror && trial.step === null ? `copies of ${format.value(trial.mirror.share, "share")} of the requests` : `${format.value(trial.share, "share")} of the requests`);
  if (trial.fleet) parts.push("judged by the counts of all hosts");
  const left = (new Date(trial.until) - host.statusAt) / 1000;
  parts.push(trial.until === null ? "until somebody ends it" : left > 0 ? `${format.span(left)} left` : "about to be judged");
  return parts;
}
