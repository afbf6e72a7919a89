// Measures what an open page costs the program that serves it, in CPU. The figures are printed; none can fail a step.
import fs from "node:fs";

/** How long each of the figures is measured. */
const MEASURED_MS = 30_000;

/** The kernel counts CPU time in hundredths of a second for programs (USER_HZ in proc(5)). */
const TICK_MS = 10;

/** The CPU time that a process has used so far. */
function cpuMs(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name, which comes before, may contain spaces.
  const [user, system] = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 13);
  return (Number(user) + Number(system)) * TICK_MS;
}

/** The share of one processor that a process uses from now on, as a percentage. */
async function share(pid) {
  const [before, start] = [cpuMs(pid), performance.now()];
  await new Promise(resolve => setTimeout(resolve, MEASURED_MS));
  return (cpuMs(pid) - before) / (performance.now() - start) * 100;
}

/**
 * Measures with the page open first and then closed: a program that has just started uses more, which must not count as
 * what it uses without the page.
 */
function costOf(admin, pid) {
  return async ({ browser, page: pageOfSteps, url }) => {
    // As long as it is open, the page of the other steps costs something too.
    await pageOfSteps.goto("about:blank");
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    await page.goto(`${admin}/console`);
    await page.getByText(/^live/).waitFor();
    const open = await share(pid);
    await page.close();
    const closed = await share(pid);
    await pageOfSteps.goto(url);
    return `${(open - closed).toFixed(2)} % of a processor (${closed.toFixed(2)} % closed, ${open.toFixed(2)} % open)`;
  };
}

export function costs({ proxy, hosts, pids }) {
  return [
    ["an open page costs the proxy that serves it", costOf(proxy.admin, pids.proxy)],
    ["an open page costs the host that serves it", costOf(hosts[0], pids.hosts[0])],
  ];
}
