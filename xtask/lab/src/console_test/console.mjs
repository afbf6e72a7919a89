// Drives the console's page. Prints each step when it is done, and exits with 1 at the first step that fails.
import { chromium } from "playwright-core";
import { clocks } from "./clocks.mjs";
import { costs } from "./cost.mjs";
import { ofHost } from "./host.mjs";
import { judged } from "./judge.mjs";
import { Load, usual } from "./load.mjs";
import { looks } from "./looks.mjs";
import { numbers } from "./numbers.mjs";
import { PATIENCE_MS } from "./programs.mjs";
import { Scrapes } from "./scrapes.mjs";
import { steps } from "./steps.mjs";

const settings = JSON.parse(process.argv[2]);

/** Requests a second, unless a step wants others. */
const RATE = 30;

const load = new Load(RATE, number => usual(settings.proxy.url, number));
const scrapes = { proxy: new Scrapes(settings.proxy.admin), hosts: settings.hosts.map(admin => new Scrapes(admin)) };
const noScrapes = () => [scrapes.proxy, ...scrapes.hosts].forEach(one => one.stop());
const browser = await chromium.launch({ executablePath: settings.chromium, args: ["--no-sandbox", "--disable-gpu"] });
let failed = false;
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(PATIENCE_MS);
  const context = { settings, browser, page, load, scrapes, url: `${settings.proxy.admin}/console` };
  const take = async all => {
    for (const [what, step] of all) {
      const figure = await step(context);
      console.log(`✓ ${what}${figure ? `: ${figure}` : ""}`);
    }
  };
  await take([...steps, ...ofHost, ...numbers]);
  // Nobody compares with them any more, and they cost the programs something.
  noScrapes();
  // The costs come when all programs have been busy for a while, and before the last steps, which end the second host.
  await take([...judged, ...costs(settings), ...clocks, ...looks]);
} catch (error) {
  failed = true;
  console.error(`✗ ${error.stack}`);
} finally {
  noScrapes();
  load.stop();
  await browser.close();
}
process.exitCode = failed ? 1 : 0;
