// How the page looks and what it says when something is wrong: to an accessibility checker, on small screens, in the dark,
// with programs gone, a clock that is off and a browser that is too old.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { eventually, json } from "./console.mjs";

const AXE = fs.readFileSync(path.join(path.dirname(fileURLToPath(import.meta.url)), "node_modules/axe-core/axe.min.js"), "utf8");

const VIEWS = ["overview", "components", "upstreams", "requests", "log"];

/** Widths in CSS pixels: a phone, a tablet, a wide screen. */
const SIZES = { phone: [360, 740], tablet: [820, 1100], wide: [1600, 1000] };

/** A page of its own, with the first looks taken. */
async function open({ browser, url }, view, [width, height], colorScheme) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme });
  await page.goto(`${url}#${view}`);
  const looks = () => Number(document.documentElement.dataset.looks);
  await eventually("the page has looked", async () => await page.evaluate(looks) > 2);
  return page;
}

/** Takes a picture of a view, if pictures are wanted; `before` does something on the page first. */
export async function picture(context, view, size, scheme, before) {
  const { pictures } = context.settings;
  if (!pictures) return;
  fs.mkdirSync(pictures, { recursive: true });
  const page = await open(context, view, SIZES[size], scheme);
  await before?.(page);
  await page.screenshot({ path: path.join(pictures, `${view}-${size}.png`) });
  await page.close();
}

export const looks = [
  ["an accessibility checker finds nothing, at three sizes, light and dark", async context => {
    for (const [size, place] of Object.entries(SIZES)) {
      for (const scheme of ["light", "dark"]) {
        for (const view of VIEWS) {
          const page = await open(context, view, place, scheme);
          if (view === "components") await page.locator("details.swap summary").first().click();
          if (view === "requests") await page.locator("details.request summary").first().click();
          // Scripts of the page's own only: the checker comes by the browser's tools.
          await page.evaluate(AXE);
          const { violations } = await page.evaluate(() => globalThis.axe.run());
          const found = violations.map(one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 120)).join(" ")}`);
          assert.deepEqual(found, [], `${view}, ${size}, ${scheme}`);
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
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    assert.deepEqual(violations.map(one => one.id), []);
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
    process.kill(settings.second_host_pid, "SIGKILL");
    await page.locator("#views").getByRole("link", { name: "Overview" }).click();
    await page.getByText(/host-2 is gone since \d/).waitFor({ timeout: 60_000 });
    const { members } = await json(`${settings.proxy.admin}/fleet`);
    const gone = members.find(member => member.name === "host-2");
    assert.equal(gone.state, "gone");
    await page.locator('tr[data-row="host-2"]').getByText(gone.reason).waitFor();
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
