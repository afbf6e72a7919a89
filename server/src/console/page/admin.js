// Changes: requests with the visitor's token. What a program refuses, it says why, and the page passes that on.

import { answered, h } from "./build.js";
import { tokenFor, askForToken, forgetToken } from "./token.js";

/** Longer than the longest change, a component that is received, compiled and probed. */
const PATIENCE_MS = 290_000;

/** How long good news stays. */
const GOOD_NEWS_MS = 10_000;

/** A change that was refused or that got no answer. */
export class Refused extends Error {
  constructor(member, problem) {
    const step = problem.step ? `at the step \u201c${problem.step}\u201d: ` : "";
    super(`${member.name}: ${step}${problem.detail ?? "no reason given"}`);
    this.step = problem.step;
    this.status = problem.status;
  }
}

/** Says something in the corner. What went wrong stays until it is put away. */
export function say(mood, words) {
  const box = h("div", { class: `said ${mood}`, role: mood === "bad" ? "alert" : undefined },
    h("p", {}, words),
    h("button", { type: "button", class: "plain", "aria-label": "Put this message away", on: { click: () => box.remove() } }, "×"));
  const said = document.getElementById("said");
  said.append(box);
  while (said.childElementCount > 5) said.firstElementChild.remove();
  if (mood !== "bad") setTimeout(() => box.remove(), GOOD_NEWS_MS);
}

/**
 * Sends a change to a member, with its token, and returns its answer. A wrong token is asked for again. Returns null if the
 * visitor gave none; throws Refused.
 */
export async function change(member, path, { body, headers = {} } = {}) {
  let wrong = null;
  for (;;) {
    const token = tokenFor(member) ?? await askForToken(member, wrong);
    if (!token) return null;
    const answer = await send(member, path, { body, headers: { ...headers, authorization: `Bearer ${token}` } });
    if (answer.status !== 401) {
      if (answer.ok) return answer.body;
      throw new Refused(member, answer.body);
    }
    wrong = answer.body.detail ?? "the admin token is wrong";
    forgetToken(member);
  }
}

async function send(member, path, { body, headers }) {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch(`${member.base}${path}`, { method: "POST", body: body ?? "", headers, signal, cache: "no-store" });
    const type = answer.headers.get("content-type") ?? "";
    const read = type.includes("json") ? await answer.json() : { detail: await answer.text() };
    return { ok: answer.ok, status: answer.status, body: { status: answer.status, ...read } };
  } catch (error) {
    const late = error.name === "TimeoutError";
    const detail = late ? "no answer in time; whether it was done, the status will show" : `no answer: ${error.message}`;
    throw new Refused(member, { detail, status: 0 });
  }
}

/** Changes that buttons have begun, by the buttons' `data-change`. */
const underWay = new Set();

/**
 * A button for a change, which can't be begun again while it is under way, even if the button was replaced meanwhile. `key`
 * finds what is in its place then, and `label` says more than its `word`.
 */
export function changeButton(key, word, label, work) {
  const name = `${key}/${word}`;
  const mark = () => {
    for (const button of document.querySelectorAll(`[data-change="${CSS.escape(name)}"]`)) {
      button.setAttribute("aria-disabled", String(underWay.has(name)));
    }
  };
  const begin = async () => {
    if (underWay.has(name)) return;
    underWay.add(name);
    mark();
    try {
      await work();
    } finally {
      underWay.delete(name);
      mark();
    }
  };
  return h("button", {
    type: "button", "data-key": key, "data-change": name, "aria-label": label, "aria-disabled": underWay.has(name) ? "true" : undefined,
    on: { click: begin },
  }, word);
}

/** Makes a change, and says what came of it: `done` makes words of the answer. Returns whether it was made. */
export async function act(work, done) {
  try {
    const answer = await work();
    if (answer === null) return false;
    say("good", done(answer));
    return true;
  } catch (error) {
    say("bad", error instanceof Refused ? error.message : `The page failed: ${error.message}`);
    return false;
  } finally {
    document.dispatchEvent(new Event("changed"));
  }
}

/** Asks whether the visitor means it. Resolves to true or false. */
export async function confirmed(title, words, yes) {
  const close = answer => () => dialog.close(answer);
  const dialog = h("dialog", { "aria-labelledby": "confirm-title" },
    h("h2", { id: "confirm-title" }, title),
    h("p", {}, words),
    h("p", { class: "buttons" },
      h("button", { type: "button", on: { click: close("no") } }, "Cancel"),
      h("button", { type: "button", class: "main", on: { click: close("yes") } }, yes)));
  return await answered(dialog) === "yes";
}
