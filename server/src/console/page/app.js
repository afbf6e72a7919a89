// The page: which view is shown, how often the fleet is asked, and what the head says.

import { text } from "./build.js";
import { say } from "./admin.js";
import { Components } from "./components.js";
import { Fleet } from "./fleet.js";
import * as format from "./format.js";
import { Log } from "./log.js";
import { Overview } from "./overview.js";
import { Requests } from "./requests.js";
import { askForToken, forgetAll, hasToken } from "./token.js";
import { Upstreams } from "./upstreams.js";

/** Between two looks, as programs take their samples. */
const LOOK_MS = 3000;

/** What every view needs. */
const ALWAYS = ["history", "readStatus"];

const fleet = new Fleet();
const views = {
  overview: new Overview(), components: new Components(), upstreams: new Upstreams(), requests: new Requests(), log: new Log(),
};
const main = document.getElementById("main");
const title = document.getElementById("title");
const link = document.getElementById("link");
const self = document.getElementById("self");
const nav = document.getElementById("views");
const tokenButton = document.getElementById("token");

let view = null;
let looking = false;
let timer = null;

function open(name, focus) {
  const next = views[name] ?? views.overview;
  if (next === view) return;
  view?.element.remove();
  view = next;
  main.append(view.element);
  text(title, view.title);
  for (const anchor of nav.children) {
    const isIt = views[anchor.hash.slice(1)] === view;
    if (isIt) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  if (focus) main.focus();
  draw();
  look();
}

function draw() {
  document.documentElement.dataset.looks = String(Number(document.documentElement.dataset.looks ?? 0) + 1);
  head();
  try {
    view.update(fleet);
  } catch (error) {
    // The rest of the page goes on.
    console.error(error);
    text(link, `This view failed: ${error.message}`);
  }
}

function head() {
  text(self, fleet.own.about ? `of ${fleet.own.name}` : "");
  const gone = fleet.members.filter(member => member.state === "gone");
  let words = fleet.members.length > 1 ? `live, ${fleet.members.length} programs` : "live";
  let mood = "good";
  if (fleet.silentSince !== null) {
    const silent = (performance.now() - fleet.silentSince) / 1000;
    words = `${location.host} gives no answer since ${format.clock(new Date(Date.now() - silent * 1000))}; what is shown is of before`;
    mood = "bad";
  } else if (gone.length) {
    words = `${gone.map(member => `${member.name} is gone since ${format.clock(new Date(Date.now() - member.forS * 1000))}`).join(", ")}`;
    mood = "bad";
  }
  text(link, words);
  link.className = `link ${mood}`;
  document.title = mood === "bad" ? "! Store console" : "Store console";
  tokenButton.hidden = false;
  text(tokenButton, hasToken() ? "Forget token" : "Enter token");
}

/** Looks at the fleet, and again after a while; not while nobody sees the page. */
async function look() {
  if (looking || document.hidden) return;
  looking = true;
  clearTimeout(timer);
  try {
    await fleet.look([...ALWAYS, ...view.wanted]);
  } finally {
    looking = false;
  }
  draw();
  timer = setTimeout(look, LOOK_MS);
}

document.addEventListener("visibilitychange", look);
document.addEventListener("changed", look);
document.addEventListener("token", head);
window.addEventListener("hashchange", () => open(location.hash.slice(1), true));
tokenButton.addEventListener("click", async () => {
  if (hasToken()) {
    forgetAll();
    say("good", "The token is forgotten.");
    return;
  }
  const own = fleet.own;
  const token = await askForToken(own, null);
  if (token) await check(own, token);
});

/** Says at once whether a token is right. */
async function check(member, token) {
  try {
    const answer = await fetch("/token", { method: "POST", headers: { authorization: `Bearer ${token}` }, body: "" });
    if (answer.ok) return say("good", `The token is right at ${member.name}.`);
    const problem = await answer.json();
    return say("bad", `${member.name}: ${problem.detail}.`);
  } catch (error) {
    return say("bad", `${member.name} gives no answer: ${error.message}`);
  }
}

document.getElementById("starting").remove();
nav.hidden = false;
open(location.hash.slice(1) || "overview", false);
