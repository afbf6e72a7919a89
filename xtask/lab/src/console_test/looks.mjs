// Tests the page's appearance, and what it shows when something is wrong: with an accessibility checker, on small
// screens, in the dark theme, with dead programs and a browser that is too old. Takes the pictures.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { noTrial, onTrial } from "./clocks.mjs";
import { looked } from "./page.mjs";
import { PATIENCE_MS, eventually, json } from "./programs.mjs";

const AXE = fs.readFileSync(path.join(path.dirname(fileURLToPath(import.meta.url)), "node_modules/axe-core/axe.min.js"), "utf8");

/** Each view with something that is there once it has been drawn with data. */
const VIEWS = {
  overview: ".chart path.line", components: '[data-host="host-2"] path.line', upstreams: "[data-group]", requests: "details.request", log: "tbody tr",
};

/** Widths in CSS pixels: a phone, a tablet, a wide screen. */
const SIZES = { phone: [360, 740], tablet: [820, 1100], wide: [1600, 1000] };

/** The faults that an accessibility checker finds in a page. */
export async function wrongs(page) {
  // The page itself allows only its own scripts; the browser's tools may inject the checker.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  return violations.map(one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 120)).join(" ")}`);
}

/** Roles that mean nothing without a name. */
const NAMED = new Set(["button", "checkbox", "combobox", "dialog", "image", "img", "link", "radio", "region", "searchbox", "spinbutton", "textbox"]);

/** What the browser tells a screen reader of a page: the role and the name of everything in it. */
async function told(page) {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send("Accessibility.getFullAXTree");
  await session.detach();
  return nodes.filter(node => !node.ignored).map(({ role, name }) => ({ role: role?.value ?? "", name: String(name?.value ?? "") }));
}

/** Opens a new page, and waits for its first data. */
async function open({ browser, url }, view, [width, height], colorScheme) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme });
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(`${url}#${view}`);
  await eventually("the page has looked", async () => await looked(page) > 2);
  return page;
}

/** Shows a view of an open page as a visitor would look at it. */
async function show(page, view) {
  await page.evaluate(view => { location.hash = view; }, view);
  await page.locator("#title", { hasText: new RegExp(`^${view}$`, "i") }).waitFor();
  await page.locator(VIEWS[view]).first().waitFor({ state: "attached" });
  if (view === "overview") await page.getByLabel("all hosts").check();
  if (view === "components") await page.locator('.trial-of[data-host="host-2"]').first().scrollIntoViewIfNeeded();
  if (view === "requests") {
    await page.locator("details.request", { hasText: "POST /orders" }).filter({ hasText: "proxy" }).first().locator("summary").click();
    await page.locator(".waterfall").first().waitFor();
  }
}

/** Opens a new page whose errors are recorded; `before` prepares it. */
async function watched({ browser, url }, view, before) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const errors = [];
  page.on("pageerror", error => errors.push(error.message));
  await before?.(page);
  await page.goto(`${url}#${view}`);
  return { page, errors };
}

/** Takes a picture of a view, if the user wants pictures. */
async function picture({ settings: { pictures } }, page, name) {
  if (!pictures) return;
  fs.mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: path.join(pictures, `${name}.png`) });
}

export const looks = [
  ["an accessibility checker finds nothing, at three sizes, light and dark", async context => {
    await onTrial(context.settings);
    for (const [size, place] of Object.entries(SIZES)) {
      for (const scheme of ["light", "dark"]) {
        const page = await open(context, "overview", place, scheme);
        for (const view of Object.keys(VIEWS)) {
          await show(page, view);
          await picture(context, page, `${view}-${size}-${scheme}`);
          if (view === "components") await page.locator("details.swap summary").first().click();
          assert.deepEqual(await wrongs(page), [], `${view}, ${size}, ${scheme}`);
          const nameless = (await told(page)).filter(({ role, name }) => NAMED.has(role) && !name.trim());
          assert.deepEqual(nameless, [], `${view}, ${size}, ${scheme}: what has no name for a screen reader`);
          const wider = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
          assert.ok(!wider, `${view} is wider than a ${size}`);
        }
        await page.close();
      }
    }
    await noTrial(context.settings);
  }],

  ["a chart is told by its name and its numbers, as are the head and the views", async context => {
    const page = await open(context, "overview", SIZES.wide, "light");
    const all = await told(page);
    const has = (roles, name) => assert.ok(all.some(one => roles.includes(one.role) && name.test(one.name)), `${name} among ${JSON.stringify(all.filter(one => roles.includes(one.role)))}`);
    has(["image", "img"], /^Requests, now: .*\d.*Arrow keys/);
    has(["heading"], /^Overview$/);
    has(["region"], /^Programs of the fleet$/);
    for (const view of Object.keys(VIEWS)) has(["link"], new RegExp(`^${view}$`, "i"));
    await page.close();
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
    for (const view of Object.keys(VIEWS)) {
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
    const before = await looked(page);
    await page.waitForTimeout(7000);
    assert.equal(await looked(page), before);
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByText("live, 3 programs").waitFor();
    await eventually("it looks again", async () => await looked(page) > before);
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

  ["a browser without scripts is told so, and where the same is to be had", async ({ browser, url }) => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(url);
    await page.getByText("the browser is too old or runs no scripts").waitFor();
    await page.getByRole("link", { name: "status" }).waitFor();
    await context.close();
  }],

  ["a browser that is too old is told what it lacks, and nothing else begins", async context => {
    const { page, errors } = await watched(context, "overview", page => page.addInitScript(() => { delete AbortSignal.timeout; }));
    const asked = [];
    page.on("request", request => asked.push(new URL(request.url()).pathname));
    await page.getByText("This browser is too old for this page: it has no AbortSignal.timeout.").waitFor();
    await page.getByRole("link", { name: "status" }).waitFor();
    // Longer than to the next look, if there were one.
    await page.waitForTimeout(4000);
    assert.equal(await page.locator("#views").isVisible(), false);
    assert.equal(await page.locator("#link").textContent(), "");
    assert.deepEqual(asked.filter(path => !path.startsWith("/console")), []);
    assert.equal(errors.length, 1, errors.join(" | "));
    await page.close();
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
    const before = await looked(page);
    await eventually("more looks", async () => await looked(page) > before + 4);
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
