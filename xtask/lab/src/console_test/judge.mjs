// What somebody sees who has only the page while new versions are tried under load: one that is good, one that is slow and one
// that fails. Each is told by what the page says, and that is compared with the status afterwards.
import assert from "node:assert/strict";
import { card, count, view } from "./page.mjs";
import { change, component, counted, eventually, live, scraped } from "./programs.mjs";

/** Requests a second, two fifths of them reports that go to a host. */
const RATE = 180;

/** What a machine must at least have answered of them, as a share. */
const LOADED = 0.5;

/** Longer than all steps of a trial. */
const PATIENCE_MS = 120_000;

/** The end of a trial in the page's words: generation, result and reason. */
const END = /^host-1: generation (\d+) (promoted|withdrawn)\s*(.*)$/s;

/** What the page says of `reports` on the first host. */
const read = page => page.evaluate(() => {
  const card = document.querySelector('[data-component="reports"]');
  const trial = card.querySelector('[data-host="host-1"]');
  const cells = row => [...row.cells].map(cell => cell.textContent);
  return {
    heading: trial?.querySelector("h3")?.textContent ?? "",
    why: trial?.querySelector(".why")?.textContent ?? "",
    passed: [...trial?.querySelectorAll('tr[data-row^="passed/"]') ?? []].map(cells),
    lines: [...trial?.querySelectorAll('[data-panel="trial_requests"] .legend .name') ?? []].map(name => name.textContent),
    generations: [...card.querySelectorAll('tr[data-row^="host-1/"]')].map(cells),
    last: [...card.querySelectorAll("p.last")].map(line => line.textContent).find(words => words.startsWith("host-1: ")) ?? "",
  };
});

/** The generation in this state in the page's table, and its share. */
function inState({ generations }, state) {
  const [, generation, , share] = generations.find(cells => cells[2] === state) ?? [];
  return generation && { generation: Number(generation), share: share.trim() };
}

/** Sends the store much more while it works. Returns what came of that load, in words. */
async function loaded({ load }, work) {
  const { rate, answered, failed, broken } = load;
  const began = performance.now();
  load.rate = RATE;
  try {
    await work();
  } finally {
    load.rate = rate;
  }
  const took = (performance.now() - began) / 1000;
  const perSecond = (load.answered - answered) / took;
  assert.ok(perSecond >= RATE * LOADED, `only ${perSecond.toFixed(0)} requests a second were answered`);
  return `${took.toFixed(0)} s, ${perSecond.toFixed(0)} requests/s, of which ${load.failed - failed} failed and ${load.broken - broken} got no answer`;
}

/**
 * Tries a version on the first host, and returns all that the page says until it says how that ended, and what it says then.
 * `lines` are those that the chart then has, by the generation that was tried; `each` is told of everything.
 */
async function tried({ page, settings: { hosts: [admin], token } }, steps, file, lines, each) {
  await view(page, "Components");
  await card(page, "reports").waitFor();
  const { last } = await read(page);
  await change(admin, `/components/reports/swap?${steps}`, token, file);
  const seen = [];
  await eventually("the page says how the trial ended", async () => {
    const now = await read(page);
    seen.push(now);
    await each?.(now);
    return END.test(now.last) && now.last !== last;
  }, PATIENCE_MS);
  const [, generation, result, reason] = END.exec(seen.at(-1).last);
  // Some of it only the log says, which is read a little later.
  const over = await eventually("table and charts say the same", async () => {
    const now = await read(page);
    const missing = lines(generation).filter(line => !now.lines.includes(line));
    if (missing.length) throw new Error(`${missing.join(", ")} is not among ${now.lines.join(", ")}`);
    return !inState(now, "canary") && now;
  });
  return { seen, over, generation: Number(generation), result, reason };
}

const stepsIn = seen => [...new Set(seen.map(now => /step (\d) of \d/.exec(now.heading)?.[1]).filter(step => step))];

/** The rest of a trial whose version is worse: it is withdrawn in its first step, and the page says why. */
async function worse(context, file, reasoned) {
  const { settings: { hosts: [admin] } } = context;
  const before = await live(admin, "reports");
  return loaded(context, async () => {
    const lines = generation => [`withdrawn (${generation})`, `stable (${before})`];
    const { seen, over, generation, result, reason } = await tried(context, "steps=2,50&step_for=30s", file, lines);
    assert.equal(result, "withdrawn");
    assert.match(reason, reasoned);
    assert.deepEqual(stepsIn(seen), ["1"]);
    assert.ok(seen.some(now => inState(now, "canary")?.generation === generation), "the page never showed it on trial");
    assert.deepEqual(inState(over, "live"), { generation: before, share: "100\u202f%" });
    const told = await component(admin, "reports");
    assert.deepEqual(told.last, { generation, result, reason });
    assert.deepEqual([told.canary, await live(admin, "reports")], [null, before]);
  });
}

export const judged = [
  ["a good version goes from step to step under load and is promoted by itself", async context => {
    const { settings: { hosts: [admin], files } } = context;
    const before = await live(admin, "reports");
    const passedSteps = async () => counted(await scraped(admin), "store_rollout_phases_total", 'component="reports"', 'result="passed"');
    const passedBefore = await passedSteps();
    return loaded(context, async () => {
      let compared = 0;
      const lines = generation => [`stable (${generation})`, `was stable (${before})`];
      const { seen, over, generation, result, reason } = await tried(context, "steps=20,50,80&step_for=12s", files.promising, lines, async ({ heading, passed }) => {
        if (!heading.includes("step 3 of 3") || passed.length !== 2) return;
        const { canary } = await component(admin, "reports");
        // What was counted in a step stays, once it has passed.
        if (canary) {
          const told = canary.passed.map(step => [step.requests, step.stable_requests]);
          assert.deepEqual(passed.map(cells => [count(cells[1]), count(cells[4])]), told);
          compared += 1;
        }
      });
      assert.deepEqual([result, reason], ["promoted", ""]);
      assert.deepEqual(stepsIn(seen), ["1", "2", "3"]);
      assert.ok(compared > 0, "the page never showed both of the steps that had passed");
      assert.ok(seen.some(now => now.heading.includes("would be promoted")), "the page never said that it would be promoted");
      assert.deepEqual(inState(over, "live"), { generation, share: "100\u202f%" });
      assert.deepEqual((await component(admin, "reports")).last, { generation, result, reason: null });
      assert.equal(await live(admin, "reports"), generation);
      assert.equal(await passedSteps() - passedBefore, 3);
    });
  }],

  ["a slow version is withdrawn in its first step under load, and the page says why",
    context => worse(context, context.settings.files.slow, /requests took longer than .*the stable generation's p99 is/)],

  ["a failing version is withdrawn in its first step under load, and the page says why",
    context => worse(context, context.settings.files.failing, /of its \d+ requests failed, against/)],
];
