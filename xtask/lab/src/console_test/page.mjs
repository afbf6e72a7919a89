// What is on the page, and how a visitor uses it. What takes a context needs only its `page`.
import assert from "node:assert/strict";
import fs from "node:fs";

export const view = (page, name) => page.locator("#views").getByRole("link", { name, exact: true }).click();
export const said = (page, words) => page.locator(".said", { hasText: words });
export const card = (page, id) => page.locator(`[data-component="${id}"]`);
export const rowOf = (page, id, host, generation) => card(page, id).locator(`tr[data-row="${host}/${generation}"]`);

/** How often the page has drawn itself. */
export const looked = page => page.evaluate(() => Number(document.documentElement.dataset.looks));

/** Parses a whole number in the page's format. */
export const count = text => Number(text.replaceAll(",", ""));

const UNITS = { "": 1, "/s": 1, "%": 0.01, "µs": 1e-6, ms: 1e-3, s: 1, min: 60, KiB: 1024, MiB: 1 << 20, GiB: 1 << 30 };

/** Parses a number with its unit in the page's format: in seconds, bytes or shares. NaN is a dash, or no number. */
export function number(text) {
  const [, digits, unit] = /^\s*(-?[\d,.]+)\s*(\S*)\s*$/.exec(text) ?? [];
  return digits === undefined || !Object.hasOwn(UNITS, unit) ? NaN : count(digits) * UNITS[unit];
}

/** A row of a table, by the titles of its columns. `label` is the beginning of the table's name. */
export function cells(page, label, row) {
  return page.locator(`.scroll[aria-label^="${label}"]`).evaluate((frame, row) => {
    const titles = [...frame.querySelectorAll("thead th")].map(cell => cell.textContent);
    const found = frame.querySelector(`tr[data-row="${CSS.escape(row)}"]`);
    return Object.fromEntries(titles.map((title, at) => [title, found.cells[at].textContent]));
  }, row);
}

/** The numbers in a chart's legend, by the names of its lines. */
export function legend(page, panel) {
  return page.locator(`[data-panel="${panel}"] .legend`).evaluate(list => {
    const lines = [...list.children].filter(line => line.querySelector(".name"));
    return Object.fromEntries(lines.map(line => [line.querySelector(".name").textContent, line.querySelector(".number").textContent]));
  });
}

export const tile = (page, id) => page.locator(`[data-tile="${id}"] .value`).textContent();

/** Fills in a component's form. `canary` is share and time; without, the version serves at once. */
export async function fill({ page }, id, host, canary) {
  const form = card(page, id).locator("details.swap");
  if (!await form.evaluate(details => details.open)) await form.locator("summary").click();
  await form.locator("select").selectOption(host);
  await form.locator(`#${id}-canary`).setChecked(Boolean(canary));
  if (canary) {
    await form.locator(`#${id}-percent`).fill(canary[0]);
    await form.locator(`#${id}-time`).fill(canary[1]);
  }
}

/** Chooses a file for a component, which opens the dialog. */
export const choose = ({ page }, id, file) => card(page, id).locator("input[type=file]").setInputFiles(file);

/** Fills in a component's form, and chooses a file. */
export async function swap(context, id, host, file, canary) {
  await fill(context, id, host, canary);
  await choose(context, id, file);
}

/** Drops a file on a component's form, as from a file manager. */
export async function drop({ page }, id, file) {
  const zone = card(page, id).locator(".zone");
  const carried = await page.evaluateHandle(bytes => {
    const transfer = new DataTransfer();
    const file = new File([Uint8Array.from(atob(bytes), letter => letter.charCodeAt(0))], "dropped.wasm", { type: "application/wasm" });
    transfer.items.add(file);
    return transfer;
  }, fs.readFileSync(file).toString("base64"));
  const isMarked = () => zone.evaluate(zone => zone.classList.contains("over"));
  await zone.dispatchEvent("dragover", { dataTransfer: carried });
  assert.ok(await isMarked(), "the zone does not show that it takes the file");
  await zone.dispatchEvent("drop", { dataTransfer: carried });
  assert.ok(!await isMarked(), "the zone stays marked");
  await carried.dispose();
}

export const confirm = ({ page }, name) => page.getByRole("dialog").getByRole("button", { name, exact: true }).click();

export async function giveToken({ page }, token) {
  await page.getByLabel("Token", { exact: true }).fill(token);
  await page.getByRole("button", { name: "Use it" }).click();
}
