// What was counted of a version on trial and of the stable one: in this step, on all hosts of the roll-out, in the steps
// before, and of answers to copies of requests.

import { h, table } from "./build.js";
import * as format from "./format.js";

/** The counts of the two versions, each with what its fields begin with. */
const VERSIONS = [["canary", ""], ["stable", "stable_"]];

const numeric = title => ({ title, class: "n" });

/** Requests and errors of one of the two. */
function counted(counts, prefix) {
  const [requests, errors] = [counts[`${prefix}requests`], counts[`${prefix}errors`]];
  return [format.count(requests), requests ? `${format.count(errors)} (${format.value(errors / requests, "share")})` : "0"];
}

function p99(counts, prefix) {
  const ms = counts[`${prefix}p99_ms`];
  return ms === null || ms === undefined ? "–" : format.seconds(ms / 1000);
}

/**
 * The sum over all hosts that are in the same step of the same roll-out as this one; null if nobody leads it over several.
 * `components` are what their status says of the component.
 */
export function sum(component, components) {
  const { canary, rollout } = component;
  if (!canary?.fleet || !rollout) return null;
  const together = components.filter(one => one.rollout?.id === rollout.id && one.canary && one.canary.step === canary.step);
  const total = field => together.reduce((before, one) => before + one.canary[field], 0);
  const fields = VERSIONS.flatMap(([, prefix]) => [`${prefix}requests`, `${prefix}errors`]);
  return { hosts: together.length, ...Object.fromEntries(fields.map(field => [field, total(field)])) };
}

/** Both versions in this step: on this host, and on all together if there is a sum. Latencies can't be added up. */
export function compared(what, trial, all) {
  const hosts = all && (all.hosts === 1 ? "1 host" : `${all.hosts} hosts`);
  const columns = ["Version", ...["Requests", "Errors", "p99"].map(numeric), ...(all ? [`Requests, ${hosts}`, `Errors, ${hosts}`].map(numeric) : [])];
  const rows = VERSIONS.map(([version, prefix]) => ({
    key: version,
    cells: [version, ...counted(trial, prefix), p99(trial, prefix), ...(all ? counted(all, prefix) : [])],
  }));
  return table(`Canary and stable version of ${what}`, columns, rows);
}

/** The steps before this one, of which the first may have been copies only. */
export function passed(what, trial) {
  const steps = trial.passed ?? [];
  if (steps.length === 0) return null;
  const titles = ["Requests", "Errors", "p99"];
  const columns = ["Passed", ...titles.map(numeric), ...titles.map(title => numeric(`${title}, stable`))];
  const rows = steps.map((step, at) => ({
    key: `passed/${at}`,
    cells: [step.share ? format.value(step.share, "share") : "copies", ...VERSIONS.flatMap(([, prefix]) => [...counted(step, prefix), p99(step, prefix)])],
  }));
  return table(`Passed steps of ${what}`, columns, rows);
}

/** What came of copies of requests, and in what the last answers differed. */
export function mirrored(what, { mirror }) {
  if (!mirror) return null;
  const { same, different, failed, dropped, differences } = mirror;
  const rows = differences.map(one => ({ cells: [format.moment(one.at), `${one.method} ${one.route}`, h("span", { class: "words" }, one.what)] }));
  return [
    h("p", { class: "why" }, `Answers to copies: ${format.count(same)} the same, ${format.count(different)} different. `,
      `${format.count(failed)} copies got no answer, ${format.count(dropped)} were not sent.`),
    rows.length ? table(`Last differences of ${what}`, ["Time", "Request", "Difference"], rows) : null,
  ];
}
