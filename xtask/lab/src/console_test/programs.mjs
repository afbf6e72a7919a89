// What the programs say and do without the page: their admin listeners, asked directly.
import fs from "node:fs";

/** How long to wait for something that must happen. */
export const PATIENCE_MS = 60_000;

/** Repeats `check` until it returns something true. Fails with `what` if it never does. */
export async function eventually(what, check, patience = PATIENCE_MS) {
  const until = Date.now() + patience;
  let last;
  for (;;) {
    try {
      const found = await check();
      if (found) return found;
      last = "it was not so";
    } catch (error) {
      last = error.message;
    }
    if (Date.now() > until) throw new Error(`never happened: ${what} (${last})`);
    await new Promise(resolve => setTimeout(resolve, 300));
  }
}

export async function json(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}

/** Sends a change directly to a program's admin API, with a file if there is one. */
export async function change(admin, path, token, file) {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/wasm" };
  const answer = await fetch(`${admin}${path}`, { method: "POST", headers, body: file ? fs.readFileSync(file) : "" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}: ${await answer.text()}`);
}

/** What a host's status says of a component. */
export async function component(admin, id) {
  const status = await json(`${admin}/status`);
  return status.components.find(one => one.component === id);
}

/** The generation of a component that serves on a host. */
export async function live(admin, id) {
  return (await component(admin, id)).generations.find(one => one.state === "live").generation;
}

/** All metrics of a program, as text. */
export async function scraped(admin) {
  const answer = await fetch(`${admin}/metrics`);
  if (!answer.ok) throw new Error(`${admin}/metrics: ${answer.status}`);
  return answer.text();
}

/** The lines of a metric's series that contain each of `parts`, a text or a pattern. */
function series(text, name, parts) {
  const isWanted = line => parts.every(part => typeof part === "string" ? line.includes(part) : part.test(line));
  return text.split("\n").filter(line => [`${name} `, `${name}{`].some(begin => line.startsWith(begin)) && isWanted(line));
}

const numberOf = line => Number(line.slice(line.lastIndexOf(" ") + 1));

/** The sum of a metric's series that contain each of `parts`. */
export const counted = (text, name, ...parts) => series(text, name, parts).reduce((sum, line) => sum + numberOf(line), 0);

/** The values of a metric's series, each by itself. */
export const values = (text, name, ...parts) => series(text, name, parts).map(numberOf);

/** The observations of a histogram up to each of its bounds, in ascending order. */
function buckets(text, name, parts) {
  const sums = new Map();
  for (const line of series(text, `${name}_bucket`, parts)) {
    const bound = Number(/le="([^"]+)"/.exec(line)[1].replace("+Inf", "Infinity"));
    sums.set(bound, (sums.get(bound) ?? 0) + numberOf(line));
  }
  return [...sums].sort(([one], [other]) => one - other);
}

/** A quantile of what a histogram counted between two scrapes, as Prometheus estimates it; null if that was nothing. */
export function quantile(share, before, now, name, ...parts) {
  const earlier = new Map(buckets(before, name, parts));
  const counts = buckets(now, name, parts).map(([bound, count]) => [bound, count - (earlier.get(bound) ?? 0)]);
  const total = counts.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const wanted = share * total;
  let [lower, below] = [0, 0];
  for (const [upper, count] of counts) {
    if (count >= wanted && count > below) return upper === Infinity ? lower : lower + (upper - lower) * (wanted - below) / (count - below);
    [lower, below] = [upper, count];
  }
  return lower;
}
