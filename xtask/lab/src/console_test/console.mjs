// Drives the console's page. Prints each step when it is done, and exits with 1 at the first step that fails.
import fs from "node:fs";
import { chromium } from "playwright-core";
import { costs } from "./cost.mjs";
import { looks } from "./looks.mjs";
import { steps } from "./steps.mjs";

const settings = JSON.parse(process.argv[2]);

/** How long to wait for something that must happen. */
export const PATIENCE_MS = 60_000;

/** Repeats `check` until it returns something true. Fails with `what` if it never does. */
export async function eventually(what, check) {
  const until = Date.now() + PATIENCE_MS;
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

/** The sum of a metric's series whose lines contain all these parts. */
export async function metric(admin, name, ...parts) {
  const text = await (await fetch(`${admin}/metrics`)).text();
  const lines = text.split("\n").filter(line => line.startsWith(name) && parts.every(part => line.includes(part)));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

/** Places an order; `number` decides its user and its product. */
export function order(base, number) {
  const body = JSON.stringify({ user_id: 1 + number % 100, items: [{ product_id: 1 + number % 200, quantity: 1 }] });
  return fetch(`${base}/orders`, { method: "POST", headers: { "content-type": "application/json" }, body });
}

/** Sends thirty requests per second, a fifth of them orders. */
function load(base) {
  let number = 0;
  const timer = setInterval(async () => {
    number += 1;
    const paths = ["/orders/reports/best-sellers", "/orders/reports/highest-spenders", `/orders/${1 + number % 50}`, "/health-check"];
    const asked = number % 5 === 0
      ? order(base, number)
      : fetch(`${base}${paths[number % 4]}`);
    await asked.then(answer => answer.text()).catch(() => {});
  }, 33);
  return () => clearInterval(timer);
}

const stop = load(settings.proxy.url);
const browser = await chromium.launch({ executablePath: settings.chromium, args: ["--no-sandbox", "--disable-gpu"] });
let failed = false;
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(PATIENCE_MS);
  const context = { settings, browser, page, url: `${settings.proxy.admin}/console` };
  // The costs come when all programs have been busy for a while, and before the last steps, which end the second host.
  for (const [what, step] of [...steps, ...costs(settings), ...looks]) {
    const figure = await step(context);
    console.log(`✓ ${what}${figure ? `: ${figure}` : ""}`);
  }
} catch (error) {
  failed = true;
  console.error(`✗ ${error.stack}`);
} finally {
  stop();
  await browser.close();
}
process.exitCode = failed ? 1 : 0;
