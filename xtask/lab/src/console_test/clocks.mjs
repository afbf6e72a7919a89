// Tests that the page does not need right clocks: its own may be wrong or jump, and so may that of a program.
import assert from "node:assert/strict";
import { looked, number, tile } from "./page.mjs";
import { PATIENCE_MS, change, eventually } from "./programs.mjs";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Starts a trial of ten minutes on the second host. */
export const onTrial = ({ hosts, token, files }) => change(hosts[1], "/components/reports/swap?canary=10&for=10m", token, files.better);

/** Ends it. */
export const noTrial = ({ hosts, token }) => change(hosts[1], "/components/reports/abort", token);

/** Opens a page whose clocks `turn` changes: that of dates, which is `off` from the start, and the one that only runs. */
async function withClocks({ browser, url }, off) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(PATIENCE_MS);
  await page.addInitScript(off => {
    const RightDate = Date;
    const running = performance.now.bind(performance);
    globalThis.clocks = { dates: off, running: 0 };
    globalThis.Date = class extends RightDate {
      constructor(...given) {
        if (given.length) super(...given);
        else super(RightDate.now() + globalThis.clocks.dates);
      }

      static now() {
        return RightDate.now() + globalThis.clocks.dates;
      }
    };
    performance.now = () => running() + globalThis.clocks.running;
  }, off);
  await page.goto(url);
  await page.getByText("live, 3 programs").waitFor();
  return page;
}

/** Where the points of the chart of requests are: how many, and how far to the right, as a share of its width. */
const drawn = page => page.locator('[data-panel="requests"] path.line').first().evaluate(line => {
  const places = [...line.getAttribute("d").matchAll(/[ML](-?[\d.]+) /g)].map(([, x]) => Number(x));
  return { points: places.length, right: Math.max(...places) / Number(line.ownerSVGElement.getAttribute("width")) };
});

/** Waits until the page has drawn data of after now, and checks that they are where they belong. */
async function isRight(page, what, points) {
  const before = await looked(page);
  await eventually(`${what}: the page looks on`, async () => await looked(page) > before + 2);
  const requests = await tile(page, "requests");
  assert.ok(number(requests) > 0, `${what}: ${requests}`);
  const found = await drawn(page);
  // The newest is some seconds old, of fifteen minutes; the axis ends a little before the picture does.
  assert.ok(found.right > 0.95 && found.right <= 1, `${what}: the newest point is at ${found.right}`);
  // The oldest sample goes as the next comes.
  assert.ok(found.points >= points - 3, `${what}: ${found.points} points, and there were ${points}`);
  assert.equal(await page.locator("#link").textContent(), "live, 3 programs", what);
  return found.points;
}

/** Makes a page see a program's clock ahead, in all that it says. */
async function ahead(page, name, by) {
  const later = text => new Date(Date.parse(text) + by);
  const paths = ["status", "traces", "events"].map(path => `/fleet/${name}/${path}`);
  await page.route(url => paths.includes(url.pathname), async route => {
    const response = await route.fetch();
    const date = later(response.headers()["member-date"]).toUTCString();
    // Whole seconds; what stands behind them stays.
    const body = (await response.text()).replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/g, time => later(`${time}Z`).toISOString().slice(0, 19));
    await route.fulfill({ response, body, headers: { ...response.headers(), "member-date": date } });
  });
}

export const clocks = [
  ["a clock that is off makes no difference, and one that jumps while the page is open makes none either", async context => {
    const page = await withClocks(context, 3 * DAY_MS);
    const turn = by => page.evaluate(by => { Object.assign(globalThis.clocks, by); }, by);
    let points = await isRight(page, "three days ahead from the start", 1);
    for (const [what, by] of [
      ["dates a day back", { dates: -DAY_MS }], ["dates right again", { dates: 0 }],
      // A laptop slept, and the browser's clock did not count it.
      ["ten minutes asleep", { running: -10 * MINUTE_MS }],
    ]) {
      await turn(by);
      points = await isRight(page, what, points);
    }
    await page.close();
  }],

  ["a host whose clock is an hour ahead is understood all the same", async context => {
    const { browser, settings, url } = context;
    await onTrial(settings);
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    await ahead(page, "host-2", HOUR_MS);
    await page.goto(`${url}#components`);
    const trial = page.locator('[data-component="reports"] [data-host="host-2"]');
    await trial.getByText(/\b([5-9]|10)\s*min left/).waitFor();

    // A part of a request that began there lies within the whole, which is the proxy's.
    await page.locator("#views").getByRole("link", { name: "Requests" }).click();
    await page.getByLabel("newest").check();
    const ofBoth = page.locator("details.request", { hasText: "host-2" }).filter({ hasText: "proxy" }).first();
    await ofBoth.locator("summary").click();
    // It stays when others come.
    await page.locator("details.request[open] .waterfall").waitFor();
    const spans = await page.locator("details.request[open] .waterfall tbody tr").evaluateAll(rows => rows.map(row => {
      const [span, program, begins, takes] = [...row.cells].map(cell => cell.textContent);
      return { span, program, begins, takes };
    }));
    assert.ok(spans.some(one => one.program === "host-2"), "no span of the host");
    for (const { span, program, begins, takes } of spans) {
      // A second is far more than two programs' measures of one request differ by, and far less than an hour.
      const end = number(begins) + number(takes);
      assert.ok(number(begins) > -1 && end < number(spans[0].takes) + 1, `${span} of ${program} begins at ${begins} and takes ${takes}, of ${spans[0].takes}`);
    }
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await page.close();
    await noTrial(settings);
  }],
];
