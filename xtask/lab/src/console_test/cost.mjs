// Measures what an open page costs the programs, in CPU. The figures are printed; none can fail a step.
import fs from "node:fs";
import { PATIENCE_MS } from "./programs.mjs";

const VIEWS = ["overview", "components", "upstreams", "requests", "log"];

/** How long a view is measured. That of requests asks for traces only at every third look, so its time has two of these. */
const MEASURED_MS = 10_000;
const MEASURED_REQUESTS_MS = 18_500;

/** How long a view is left alone first: what it asks for only once is not what an open page costs. */
const SETTLING_MS = 2000;

/** The most that a page should cost the program that it is about, as a percentage of one processor. */
const GOAL = 1;

/** The kernel counts CPU time in hundredths of a second for programs (USER_HZ in proc(5)). */
const TICK_MS = 10;

const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

/** The CPU time that a process has used so far. */
function cpuMs(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name, which comes before, may contain spaces.
  const [user, system] = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 13);
  return (Number(user) + Number(system)) * TICK_MS;
}

/** The shares of one processor that processes use from now on, as percentages. */
async function shares(pids, measured) {
  const [before, start] = [pids.map(cpuMs), performance.now()];
  await pause(measured);
  const took = performance.now() - start;
  return pids.map((pid, at) => (cpuMs(pid) - before[at]) / took * 100);
}

const percent = share => `${share.toFixed(2)} %`;

/**
 * Measures each view of the page at `admin`, and the same without a page: last, as a program that has just worked hard uses
 * more for a while. `programs` are the names and process ids of the programs that the page is about.
 */
function costOf(admin, programs) {
  return async ({ browser, page: pageOfSteps, url }) => {
    const [names, pids] = [Object.keys(programs), Object.values(programs)];
    // As long as it is open, the page of the other steps costs something too.
    await pageOfSteps.goto("about:blank");
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(PATIENCE_MS);
    await page.goto(`${admin}/console`);
    await page.getByText(/^live/).waitFor();
    const open = [];
    for (const view of VIEWS) {
      await page.evaluate(view => { location.hash = view; }, view);
      await pause(SETTLING_MS);
      open.push(await shares(pids, view === "requests" ? MEASURED_REQUESTS_MS : MEASURED_MS));
    }
    await page.close();
    await pause(SETTLING_MS);
    const closed = await shares(pids, MEASURED_MS);
    await pageOfSteps.goto(url);
    const lines = VIEWS.map((view, at) => {
      const more = names.map((name, which) => [name, open[at][which] - closed[which]]);
      const above = more.some(([, share]) => share > GOAL) ? `, above the goal of ${GOAL} %` : "";
      return `\n    ${view}: ${more.map(([name, share]) => `${name} ${percent(share)}`).join(", ")}${above}`;
    });
    const without = names.map((name, which) => `${name} ${percent(closed[which])}`).join(", ");
    return `of a processor, with a goal of ${GOAL} %${lines.join("")}\n    without a page they use: ${without}`;
  };
}

export function costs({ proxy, hosts, pids }) {
  const [one, two] = pids.hosts;
  return [
    ["an open page of the proxy costs the programs", costOf(proxy.admin, { proxy: pids.proxy, "host-1": one, "host-2": two })],
    ["an open page of a host costs it", costOf(hosts[0], { "host-1": one })],
  ];
}
