// Tests everything that the console offers, step by step, and compares each step with what the programs report.
import assert from "node:assert/strict";
import { FRESH, order } from "./load.mjs";
import { wrongs } from "./looks.mjs";
import { card, choose, confirm, count, drop, fill, giveToken, looked, rowOf, said, swap, view } from "./page.mjs";
import { change, component, eventually, json, live } from "./programs.mjs";

/** Waits until the chart of a host's trials has lines with these names. */
async function drawn(page, host, names) {
  const legend = page.locator(`[data-component="reports"] [data-host="${host}"] [data-panel="trial_requests"] .legend`);
  for (const name of names) await legend.getByText(name, { exact: true }).waitFor();
}

/** Waits until a host's samples contain requests to a generation on trial; without them, the page would drop it. */
async function sampled(admin, generation) {
  await eventually(`generation ${generation} has requests in a sample`, async () => {
    const { panels } = await json(`${admin}/history`);
    const line = panels.find(panel => panel.id === "trial_requests").lines.find(line => line.name === `reports ${generation}`);
    return line?.values.some(value => value > 0);
  });
}

/** Places orders concurrently until some share a transaction. Returns the trace ids of one of them and of its leader. */
function grouped({ proxy, hosts }) {
  return eventually("orders go in one transaction", async () => {
    const answers = await Promise.all([...Array(40).keys()].map(number => order(proxy.url, number)));
    await Promise.all(answers.map(answer => answer.text()));
    const trees = (await Promise.all(hosts.map(host => json(`${host}/traces`)))).flat();
    const kept = new Set(trees.map(tree => tree.trace_id));
    const others = trees.filter(tree => !tree.spans.some(span => span.name.startsWith("INSERT")));
    const pairs = others.flatMap(tree => tree.spans.flatMap(span => (span.links ?? []).map(link => [tree.trace_id, link.trace_id])));
    return pairs.find(([, leader]) => kept.has(leader));
  });
}

export const steps = [
  ["the page loads, from this listener only, and within 200 KB", async context => {
    const { page, url, settings } = context;
    const requests = [];
    context.errors = [];
    page.on("request", request => requests.push(request));
    page.on("pageerror", error => context.errors.push(error.message));
    page.on("console", message => { if (/Content Security Policy|Refused to/.test(message.text())) context.errors.push(message.text()); });
    await page.goto(url);
    await page.getByText("live, 3 programs").waitFor();
    let bytes = 0;
    for (const request of requests) {
      assert.ok(request.url().startsWith(settings.proxy.admin), request.url());
      if (/\/console/.test(request.url())) bytes += (await (await request.response()).body()).length;
    }
    assert.ok(bytes > 10_000 && bytes <= 200 * 1024, `${bytes} bytes`);
    assert.equal(await page.locator("tbody tr").count(), 3);
  }],

  ["charts of a host have its routes, and a cursor by keyboard", async ({ page, settings }) => {
    await page.getByLabel("host-1", { exact: true }).check();
    const chart = page.locator('[data-panel="requests"]');
    await chart.getByText("POST /orders").first().waitFor();
    const history = await json(`${settings.hosts[0]}/history`);
    const lines = history.panels.find(panel => panel.id === "requests").lines.map(line => line.name);
    for (const name of await chart.locator(".legend .name").allTextContents()) assert.ok(lines.includes(name), name);
    const [drawn, inLegend] = await eventually("several lines are drawn", async () => {
      const dashes = await chart.evaluate(chart => [".plot", ".legend"].map(part =>
        [...chart.querySelectorAll(`${part} path.line`)].map(line => getComputedStyle(line).strokeDasharray)));
      return dashes[0].length > 1 && dashes;
    });
    assert.equal(new Set(drawn).size, drawn.length, `only their colours tell these apart: ${drawn.join("; ")}`);
    assert.deepEqual(inLegend, drawn);
    await chart.locator(".plot").focus();
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    await chart.getByText("ago").waitFor();
    await page.getByLabel("all hosts").check();
    await chart.getByText("POST /orders").first().waitFor();
  }],

  ["components are those of the status", async ({ page, settings }) => {
    await view(page, "Components");
    for (const [number, admin] of settings.hosts.entries()) {
      for (const { component: id, generations } of (await json(`${admin}/status`)).components) {
        const row = rowOf(page, id, `host-${number + 1}`, generations[0].generation);
        await row.getByText(generations[0].digest.slice(0, 12)).waitFor();
        await row.getByText("100", { exact: false }).first().waitFor();
      }
    }
  }],

  ["a file that is no WebAssembly is refused on the page", async context => {
    await swap(context, "reports", "host-1", context.settings.files.text);
    await said(context.page, "is no WebAssembly component").waitFor();
    assert.equal(await live(context.settings.hosts[0], "reports"), 1);
  }],

  ["a canary without a share is not asked about", async context => {
    const { page } = context;
    await swap(context, "reports", "host-1", context.settings.files.broken, ["", "30s"]);
    const isInvalid = () => document.querySelector("#reports-percent").matches(":invalid:focus");
    await eventually("the field is pointed at", () => page.evaluate(isInvalid));
    assert.equal(await page.getByRole("dialog").count(), 0);
    await page.locator("#reports-percent").fill("10");
  }],

  ["a wrong token changes nothing, and is asked for again", async context => {
    const { page, settings } = context;
    await swap(context, "reports", "host-1", settings.files.broken);
    await confirm(context, "Swap");
    await giveToken(context, "a-token-that-is-wrong");
    await page.getByText("the admin token is wrong").first().waitFor();
    assert.equal(await live(settings.hosts[0], "reports"), 1);
    await giveToken(context, settings.token);
  }],

  ["a file that is no component is refused at its step", async ({ page, settings }) => {
    await said(page, "at the step “compile”").waitFor();
    assert.equal(await live(settings.hosts[0], "reports"), 1);
  }],

  ["a file that is dropped serves, and a rollback undoes it", async context => {
    const { page, settings } = context;
    await fill(context, "reports", "host-1");
    await drop(context, "reports", settings.files.good);
    await page.getByRole("dialog").getByText("dropped.wasm").waitFor();
    // While the page asks about one file, it refuses another.
    await choose(context, "reports", settings.files.third);
    await said(page, "A swap of reports is under way").waitFor();
    await confirm(context, "Swap");
    await said(page, "host-1: generation 2 of reports serves").waitFor();
    assert.equal(await live(settings.hosts[0], "reports"), 2);
    await rowOf(page, "reports", "host-1", 2).getByText("live").waitFor();
    await rowOf(page, "reports", "host-1", 1).getByRole("button").click();
    await confirm(context, "Roll back");
    await said(page, "generation 1 of reports serves again").waitFor();
    // The row's button has changed or is gone, but the focus stays in the table.
    await rowOf(page, "reports", "host-1", 1).getByText("live").waitFor();
    assert.ok(await page.evaluate(() => Boolean(document.activeElement.closest(".scroll"))));
    assert.equal(await live(settings.hosts[0], "reports"), 1);
  }],

  ["a canary is compared with the stable version, and promoted", async context => {
    const { page, settings } = context;
    await swap(context, "reports", "host-1", settings.files.better, ["50", "10m"]);
    await confirm(context, "Swap");
    await said(page, "is on trial").waitFor();
    const trial = page.locator('[data-component="reports"] [data-host="host-1"]');
    await trial.getByText("would be promoted").waitFor({ timeout: 60_000 });
    const requests = count(await trial.locator("tbody td").first().textContent());
    const { canary } = await component(settings.hosts[0], "reports");
    assert.ok(requests > 0 && requests <= canary.requests, `${requests} of ${canary.requests}`);
    assert.equal(canary.verdict, "good");
    const { generation } = canary;
    await drawn(page, "host-1", [`on trial (${generation})`, "stable (1)"]);
    await rowOf(page, "reports", "host-1", generation).getByRole("button", { name: /^Promote/ }).click();
    await said(page, "is promoted").waitFor();
    assert.equal(await live(settings.hosts[0], "reports"), generation);
    await drawn(page, "host-1", [`stable (${generation})`, "was stable (1)"]);
  }],

  ["a failing canary is withdrawn, and the page says why", async context => {
    const { page, settings } = context;
    // With a larger share, the version would be withdrawn before the page has a sample of it.
    await swap(context, "reports", "host-2", settings.files.failing, ["10", "10m"]);
    await confirm(context, "Swap");
    await eventually("it is withdrawn", async () => (await component(settings.hosts[1], "reports")).last?.result === "withdrawn");
    const { last } = await component(settings.hosts[1], "reports");
    await page.locator('[data-component="reports"]').getByText(last.reason).first().waitFor();
    assert.equal(await live(settings.hosts[1], "reports"), 1);
    await drawn(page, "host-2", [`withdrawn (${last.generation})`, "stable (1)"]);
    context.withdrawn = last.generation;
  }],

  ["a canary is aborted", async context => {
    const { page, settings } = context;
    await swap(context, "reports", "host-2", settings.files.third, ["20", "10m"]);
    await confirm(context, "Swap");
    const row = card(page, "reports").locator("tr.canary");
    await row.waitFor();
    const { generation } = (await component(settings.hosts[1], "reports")).canary;
    // The status no longer contains the version that was withdrawn before, but the log does.
    await drawn(page, "host-2", [`on trial (${generation})`, "stable (1)", `withdrawn (${context.withdrawn})`]);
    await sampled(settings.hosts[1], generation);
    await row.getByRole("button", { name: /^Abort/ }).click();
    await said(page, "is aborted").waitFor();
    assert.equal((await component(settings.hosts[1], "reports")).canary, null);
    await drawn(page, "host-2", [`aborted (${generation})`, "stable (1)", `withdrawn (${context.withdrawn})`]);
  }],

  ["a version whose probe hangs is refused, and meanwhile the page is of use", async context => {
    const { page, settings } = context;
    const form = card(page, "reports").locator("details.swap");
    const refused = said(page, "at the step “probe”: GET /orders/reports/best-sellers");
    await swap(context, "reports", "host-2", settings.files.hanging);
    await confirm(context, "Swap");
    // All of this happens within the five seconds of the probe: another view is drawn, and drawn again after new data.
    const before = await looked(page);
    await view(page, "Upstreams");
    await page.getByRole("button", { name: /^Drain / }).first().waitFor();
    await eventually("the page looks on", async () => await looked(page) > before + 1);
    await page.getByText("live, 3 programs").waitFor();
    await view(page, "Components");
    assert.equal(await form.getAttribute("aria-busy"), "true");
    assert.equal(await refused.count(), 0);
    await refused.waitFor();
    await eventually("the form takes another file", async () => await form.getAttribute("aria-busy") === "false");
    assert.equal(await live(settings.hosts[1], "reports"), 1);
    assert.equal((await fetch(`${settings.proxy.url}/orders/reports/best-sellers`, { headers: FRESH })).status, 200);
  }],

  ["a roll-out shows the steps that it has passed, and in what answers to copies differed", async context => {
    const { page, settings: { hosts: [admin], token, files } } = context;
    await change(admin, "/components/reports/swap?steps=50,60&step_for=20s&mirror=100", token, files.different);
    const trial = page.locator('[data-component="reports"] [data-host="host-1"]');
    const canary = await eventually("copies have passed", async () => {
      const { canary } = await component(admin, "reports");
      return canary.passed.length > 0 && canary;
    });
    const copies = trial.getByRole("region", { name: "Passed steps" }).locator('tr[data-row="passed/0"]');
    await copies.getByText("copies").waitFor();
    assert.equal(count(await copies.locator("td").first().textContent()), canary.passed[0].requests);
    await eventually("the page counts the differences as the status does", async () => {
      const { mirror } = (await component(admin, "reports")).canary;
      const words = await trial.getByText("Answers to copies").textContent();
      return mirror.different > 0 && words.includes(`${mirror.different.toLocaleString("en")} different`);
    });
    const differences = trial.getByRole("region", { name: "Last differences" });
    await differences.getByText(canary.mirror.differences[0].what).first().waitFor();
    await change(admin, "/components/reports/abort", token);
  }],

  ["each host of a roll-out shows what all of them have counted", async context => {
    const { page, settings: { hosts, token, files } } = context;
    for (const [at, admin] of hosts.entries()) {
      const fleet = `rollout=console-test&lease=60s&peers=${encodeURIComponent(hosts[1 - at])}`;
      await change(admin, `/components/reports/swap?steps=50,60&step_for=60s&${fleet}`, token, files.third);
    }
    const rows = () => page.evaluate(() => ["host-1", "host-2"].map(host => {
      const row = document.querySelector(`[data-component="reports"] [data-host="${host}"] tr[data-row="canary"]`);
      return [...row.cells].map(cell => cell.textContent);
    }));
    await eventually("the sum is that of both", async () => {
      const [first, second] = await rows();
      const [own, other, all, same] = [first[1], second[1], first[4], second[4]].map(count);
      return own > 0 && other > 0 && all === own + other && same === all;
    });
    await page.getByText("Requests, 2 hosts").first().waitFor();
    assert.deepEqual(await wrongs(page), []);
    for (const admin of hosts) await change(admin, "/components/reports/abort?rollout=console-test", token);
  }],

  ["a swap on all hosts has the same version serve on each", async context => {
    const { page, settings: { hosts, token, files } } = context;
    const before = await Promise.all(hosts.map(admin => live(admin, "reports")));
    await swap(context, "reports", "", files.good);
    await page.getByRole("dialog").getByText("Swap reports on host-1, host-2?").waitFor();
    await confirm(context, "Swap");
    const digests = new Set();
    for (const [at, admin] of hosts.entries()) {
      await eventually(`host-${at + 1} has another version`, async () => await live(admin, "reports") !== before[at]);
      const { generation, digest } = (await component(admin, "reports")).generations.find(one => one.state === "live");
      await rowOf(page, "reports", `host-${at + 1}`, generation).getByText("live").waitFor();
      digests.add(digest);
    }
    assert.equal(digests.size, 1, [...digests].join(", "));
    for (const [at, admin] of hosts.entries()) await change(admin, `/components/reports/rollback?generation=${before[at]}`, token);
  }],

  ["an upstream is drained, and comes back", async ({ page, settings }) => {
    await view(page, "Upstreams");
    const upstreams = async () => (await json(`${settings.proxy.admin}/status`)).groups[0].upstreams;
    const { address } = (await upstreams())[0];
    const row = page.locator(`tr[data-row="${address}"]`);
    await row.getByRole("button", { name: `Drain ${address}` }).press("Enter");
    await said(page, `${address} is drained`).waitFor();
    assert.equal((await upstreams())[0].state, "drained");
    await row.getByText("taken out by an operator").waitFor();
    // The button was replaced, and the new one has the focus.
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Undrain");
    await row.getByRole("button", { name: `Undrain ${address}` }).click();
    await said(page, "gets requests again").waitFor();
    assert.equal((await upstreams())[0].state, "up");
  }],

  ["a request is followed from the proxy to its statement", async ({ page, settings }) => {
    await view(page, "Requests");
    await page.getByLabel("newest").check();
    const request = page.locator("details.request", { hasText: "POST /orders" }).filter({ hasText: "host-" }).filter({ hasText: "proxy" }).first();
    await request.waitFor();
    const trace = await request.getAttribute("data-trace");
    const kept = page.locator(`details[data-trace="${trace}"]`);
    await kept.locator("summary").click();
    await kept.getByText("run orders").first().waitFor();
    const spans = await kept.locator("tbody th").allTextContents();
    const names = ["GET ", "POST "].some(method => spans[0].startsWith(method));
    assert.ok(names, spans.join(" | "));
    for (const part of ["run orders", "INSERT"]) assert.ok(spans.some(span => span.includes(part)), `${part}: ${spans.join(" | ")}`);
    const told = await Promise.all([settings.proxy.admin, ...settings.hosts].map(admin => json(`${admin}/traces`)));
    assert.ok(told.flat().some(tree => tree.trace_id === trace), trace);
  }],

  ["an order of a group leads to the one that placed it, and a trace is found by its id", async ({ page, settings }) => {
    const of = trace => page.locator(`details[data-trace="${trace}"][open]`);
    const field = page.getByLabel("Trace id");
    const [trace, leader] = await grouped(settings);
    await field.fill(trace);
    await of(trace).getByRole("button", { name: leader.slice(0, 12) }).first().press("Enter");
    await of(leader).getByText("INSERT", { exact: false }).first().waitFor();
    await eventually("the focus is there", () => page.evaluate(trace => document.activeElement.closest("details")?.dataset.trace === trace, leader));
    assert.deepEqual(await wrongs(page), []);
    await field.fill("0".repeat(31) + "1");
    await page.getByText("None of those that are kept has this in its trace id.").waitFor();
    await field.fill("");
  }],

  ["the log says who changed what", async ({ page, settings }) => {
    await view(page, "Log");
    const { audit } = await json(`${settings.hosts[0]}/events`);
    for (const line of audit.slice(0, 5)) await page.getByText(line.message, { exact: false }).first().waitFor();
    await page.getByText("is drained").first().waitFor();
    await page.getByText("reports: swap refused").or(page.getByText("swap refused")).first().waitFor();
  }],

  ["the token is forgotten", async ({ page }) => {
    await page.getByRole("button", { name: "Forget token" }).click();
    await page.getByRole("button", { name: "Enter token" }).waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.getItem("store-console-tokens")), "{}");
  }],
];
