// The page that a host itself serves: it shows this host, and changes it.
import assert from "node:assert/strict";
import { wrongs } from "./looks.mjs";
import { confirm, giveToken, rowOf, said, swap } from "./page.mjs";
import { PATIENCE_MS, eventually, json, live } from "./programs.mjs";

export const ofHost = [
  ["a host's own page swaps a component there, and rolls it back", async ({ browser, settings: { hosts: [admin], token, files } }) => {
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const errors = [];
    page.on("pageerror", error => errors.push(error.message));
    await page.goto(`${admin}/console#components`);
    await page.locator("#link", { hasText: /^live$/ }).waitFor();
    const { name } = (await json(`${admin}/fleet`)).self;
    const before = await live(admin, "reports");
    await rowOf(page, "reports", name, before).getByText("live").waitFor();

    await swap({ page }, "reports", name, files.own);
    await confirm({ page }, "Swap");
    await giveToken({ page }, token);
    await said(page, `${name}: generation`).waitFor();
    const swapped = await live(admin, "reports");
    assert.ok(swapped > before, `${swapped} serves`);
    await said(page, `${name}: generation ${swapped} of reports serves.`).waitFor();
    await rowOf(page, "reports", name, swapped).getByText("live").waitFor();

    await rowOf(page, "reports", name, before).getByRole("button").click();
    await confirm({ page }, "Roll back");
    await said(page, `${name}: generation ${before} of reports serves again.`).waitFor();
    assert.equal(await live(admin, "reports"), before);
    await rowOf(page, "reports", name, before).getByText("live").waitFor();
    assert.deepEqual(await wrongs(page), []);

    await page.locator("#views").getByRole("link", { name: "Log" }).click();
    await eventually("its log has both changes", async () => {
      const { audit } = await json(`${admin}/events`);
      const words = await page.locator("main").textContent();
      return audit.slice(0, 2).every(line => words.includes(line.message));
    });
    assert.deepEqual(errors, []);
    await page.close();
  }],
];
