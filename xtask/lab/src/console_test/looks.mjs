// Tests the page's appearance, and what it shows when something is wrong: with an accessibility checker, on small
// screens, in the dark theme, with dead programs, a wrong clock and a browser that is too old.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { change, eventually, json } from "./console.mjs";

const AXE = fs.readFileSync(path.join(path.dirname(fileURLToPath(import.meta.url)), "node_modules/axe-core/axe.min.js"), "utf8");

const VIEWS = ["overview", "components", "upstreams", "requests", "log"];

/** Widths in CSS pixels: a phone, a tablet, a wide screen. */
const SIZES = { phone: [360, 740], tablet: [820, 1100], wide: [1600, 1000] };

/** The faults that an accessibility checker finds in a page. */
export async function wrongs(page) {
  // The page itself allows only its own scripts; the browser's tools may inject the checker.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations.map(one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 120)).join(" ")}`);
}

/** Opens a new page, and waits for its first data. */
async function open({ browser, url }, view, [width, height], colorScheme) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme });
  await page.goto(`${url}#${view}`);
  const looks = () => Number(document.documentElement.dataset.looks);
  await eventually("the page has looked", async () => await page.evaluate(looks) > 2);
  return page;
}

/** Opens a new page whose errors are recorded; `before` prepares it. */
async function watched({ browser, url }, view, before) {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", error => errors.push(error.message));
  await before?.(page);
  await page.goto(`${url}#${view}`);
  return { page, errors };
}

/** Takes a picture of a view, if the user wants pictures; `before` prepares the page. */
export async function picture(context, view, size, scheme, before) {
  const { pictures } = context.settings;
  if (!pictures) return;
  fs.mkdirSync(pictures, { recursive: true });
  const page = await open(context, view, SIZES[size], scheme);
  await before?.(page);
  await page.screenshot({ path: path.join(pictures, `${view}-${size}.png`) });
  await page.close();
}

/** Starts a trial of ten minutes on the second host. */
const onTrial = ({ hosts, token, files }) => change(hosts[1], "/components/reports/swap?canary=10&for=10m", token, files.better);

/** Makes a page see a program's clock five minutes ahead. */
async function ahead(page, name) {
  const later = text => new Date(Date.parse(text) + 300_000);
  await page.route(url => url.pathname === `/fleet/${name}/status`, async route => {
    const response = await route.fetch();
    const date = later(response.headers()["member-date"]).toUTCString();
    const body = (await response.text()).replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, time => later(time).toISOString().replace(".000Z", "Z"));
    await route.fulfill({ response, body, headers: { ...response.headers(), "member-date": date } });
  });
}

export const looks = [
  ["an accessibility checker finds nothing, at three sizes, light and dark", async context => {
    for (const [size, place] of Object.entries(SIZES)) {
      for (const scheme of ["light", "dark"]) {
        for (const view of VIEWS) {
          const page = await open(context, view, place, scheme);
          if (view === "components") await page.locator("details.swap summary").first().click();
          if (view === "requests") await page.locator("details.request summary").first().click();
          assert.deepEqual(await wrongs(page), [], `${view}, ${size}, ${scheme}`);
          const wider = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
          assert.ok(!wider, `${view} is wider than a ${size}`);
          await page.close();
        }
      }
    }
  }],

  ["the dialog for the token is accessible too, and closes by keyboard", async context => {
    const page = await open(context, "overview", SIZES.phone, "dark");
    await page.getByRole("button", { name: "Enter token" }).click();
    assert.deepEqual(await wrongs(page), []);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.close();
  }],

  ["views are reached by keyboard alone", async context => {
    const page = await open(context, "overview", SIZES.wide, "light");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
    for (let at = 0; at < 10; at += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(() => document.activeElement.hash) === "#upstreams") break;
    }
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Upstreams", level: 1 }).waitFor();
    await page.locator(".skip").focus();
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
    assert.ok(await page.getByRole("heading", { name: "Upstreams", level: 1 }).isVisible());
    await page.close();
  }],

  ["each view has its title, and an address that names none changes nothing", async context => {
    const { page, errors } = await watched(context, "constructor");
    await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
    for (const view of VIEWS) {
      await page.evaluate(view => { location.hash = view; }, view);
      await eventually(`the title of ${view}`, async () => (await page.title()).toLowerCase().startsWith(`${view} `));
      for (const none of ["main", "constructor", "__proto__"]) await page.evaluate(none => { location.hash = none; }, none);
      assert.equal((await page.locator("#title").textContent()).toLowerCase(), view);
    }
    assert.deepEqual(errors, []);
    await page.close();
  }],

  ["a table that is replaced keeps the focus and its place", async context => {
    const page = await open(context, "overview", SIZES.phone, "light");
    const frame = page.getByRole("region", { name: "Programs of the fleet" });
    await frame.focus();
    await frame.evaluate(frame => { frame.scrollLeft = 90; frame.isOld = true; });
    await eventually("the table is replaced", async () => !await frame.evaluate(frame => frame.isOld));
    assert.equal(await frame.evaluate(frame => frame.scrollLeft), 90);
    assert.ok(await frame.evaluate(frame => document.activeElement === frame));
    await page.close();
  }],

  ["spans that are read keep the focus when requests come", async context => {
    const page = await open(context, "requests", SIZES.phone, "light");
    await page.getByLabel("newest").check();
    await page.locator("details.request summary").first().click();
    const frame = page.locator("details.request[open] .scroll").first();
    await frame.focus();
    await frame.evaluate(frame => { frame.scrollLeft = 40; frame.isOld = true; });
    await eventually("the list is replaced", async () => !await frame.evaluate(frame => frame.isOld));
    assert.equal(await frame.evaluate(frame => frame.scrollLeft), 40);
    assert.ok(await frame.evaluate(frame => document.activeElement === frame));
    await page.close();
  }],

  ["a press that is not released stops no table", async context => {
    const page = await open(context, "overview", SIZES.wide, "light");
    const frame = page.getByRole("region", { name: "Programs of the fleet" });
    for (const button of ["right", "left"]) {
      await frame.hover();
      await page.mouse.down({ button });
      await frame.evaluate(frame => { frame.isOld = true; });
      await eventually("the table is replaced", async () => !await frame.evaluate(frame => frame.isOld));
      await page.mouse.up({ button });
      await page.keyboard.press("Escape");
    }
    await page.close();
  }],

  ["the page stands still while it is paused", async context => {
    const page = await open(context, "overview", SIZES.wide, "light");
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText(/^paused at \d/).waitFor();
    // The request that was in flight may still end.
    await page.waitForTimeout(4000);
    const looks = () => page.evaluate(() => document.documentElement.dataset.looks);
    const before = await looks();
    await page.waitForTimeout(7000);
    assert.equal(await looks(), before);
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByText("live, 3 programs").waitFor();
    await eventually("it looks again", async () => await looks() > before);
    await page.close();
  }],

  ["what was not read is not said to be none", async context => {
    const { page } = await watched(context, "log", page => page.route(/\/(events|traces)$/, route => route.abort()));
    await page.getByText("Not read yet from proxy").first().waitFor();
    assert.equal(await page.getByText("Nobody has changed anything yet").count(), 0);
    await page.locator("#views").getByRole("link", { name: "Requests" }).click();
    await page.getByText("Not read yet from proxy").waitFor();
    await page.close();
  }],

  ["pictures are taken", async context => {
    const allHosts = page => page.getByLabel("all hosts").check();
    await picture(context, "overview", "wide", "light", allHosts);
    await picture(context, "overview", "phone", "light", allHosts);
    const order = page => page.locator("details.request", { hasText: "POST /orders" }).filter({ hasText: "proxy" }).first();
    await picture(context, "requests", "wide", "dark", page => order(page).locator("summary").click());
  }],

  ["a clock that is off makes no difference", async context => {
    const page = await context.browser.newPage();
    await page.addInitScript(() => {
      const now = Date.now;
      Date.now = () => now() + 3 * 86_400_000;
    });
    await page.goto(context.url);
    await eventually("numbers are shown", async () => /\d/.test(await page.locator('[data-tile="requests"] .value').textContent()));
    const path_ = await page.locator('[data-panel="requests"] path.line').first().getAttribute("d");
    assert.ok(path_.length > 10, path_);
    await page.close();
  }],

  ["time left is told by the clock of the host that has the trial", async context => {
    const { hosts, token } = context.settings;
    await onTrial(context.settings);
    const { page } = await watched(context, "components", page => ahead(page, "host-2"));
    const trial = page.locator('[data-component="reports"] [data-host="host-2"]');
    await trial.getByText(/\b([5-9]|10)\s*min left/).waitFor();
    await page.close();
    await change(hosts[1], "/components/reports/abort", token);
  }],

  ["a browser that is too old is told so, and where the same is to be had", async ({ browser, url }) => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(url);
    await page.getByText("the browser is too old").waitFor();
    await page.getByRole("link", { name: "status" }).waitFor();
    await context.close();
  }],

  ["a program that is gone is shown, with the time and the reason", async context => {
    const { page, settings } = context;
    await onTrial(settings);
    await page.locator("#views").getByRole("link", { name: "Components" }).click();
    const card = page.locator('[data-component="reports"]');
    const trial = card.locator('[data-host="host-2"]');
    await trial.waitFor();
    const form = card.locator("details.swap");
    if (!await form.evaluate(details => details.open)) await form.locator("summary").click();
    await form.locator("select").selectOption("host-2");
    process.kill(settings.pids.hosts[1], "SIGKILL");
    await page.getByText(/host-2 is gone since \d/).waitFor({ timeout: 60_000 });
    const since = await page.locator("#link").textContent();

    // Old results must not stay as if they were current, and no choice may change by itself.
    await trial.waitFor({ state: "detached" });
    assert.equal(await form.locator("select").inputValue(), "host-2");
    await form.locator("input[type=file]").setInputFiles(settings.files.good);
    await page.getByText("host-2 is gone. Nothing was changed.").waitFor();

    await page.locator("#views").getByRole("link", { name: "Overview" }).click();
    const { members } = await json(`${settings.proxy.admin}/fleet`);
    const gone = members.find(member => member.name === "host-2");
    assert.equal(gone.state, "gone");
    await page.locator('tr[data-row="host-2"]').getByText(gone.reason).waitFor();
    // A screen reader reads the line whenever it changes.
    const looks = () => page.evaluate(() => Number(document.documentElement.dataset.looks));
    const before = await looks();
    await eventually("more looks", async () => await looks() > before + 4);
    assert.equal(await page.locator("#link").textContent(), since);
  }],

  ["a listener that gives no answer is shown, and what was known stays", async context => {
    const { page } = context;
    await page.route("**/*", route => route.abort());
    await page.getByText("gives no answer since").waitFor({ timeout: 60_000 });
    assert.ok(await page.locator('[data-panel="requests"] path.line').count() > 0);
    await page.unroute("**/*");
    await page.getByText("is gone since").waitFor({ timeout: 60_000 });
    assert.deepEqual(context.errors, []);
  }],
];
