// The page: which view is shown, how often the fleet is asked, and what the head says.

// Before all others, which are not begun if it fails.
import "./support.js";
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
const skip = document.querySelector(".skip");
const self = document.getElementById("self");
const nav = document.getElementById("views");
const pauseButton = document.getElementById("pause");
const tokenButton = document.getElementById("token");

let view = null;
let looking = false;
/** Whether there is more to be asked for than when the look that is under way began. */
let again = false;
/** Since when nothing is looked at but what the visitor asks for. */
let pausedSince = null;
let timer = null;

/** The view that an address names; without a name it is the first. */
const viewAt = hash => hash.length < 2 ? views.overview : Object.hasOwn(views, hash.slice(1)) ? views[hash.slice(1)] : null;

function open(next, focus) {
  if (next === view) return;
  view?.element.remove();
  view = next;
  main.append(view.element);
  text(title, view.title);
  for (const anchor of nav.children) {
    const isIt = viewAt(anchor.hash) === view;
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
  const [words, mood] = news();
  text(link, words);
  link.className = `link ${mood}`;
  document.title = `${mood === "bad" ? "! " : ""}${view.title} \u2013 Store console`;
  pauseButton.hidden = tokenButton.hidden = false;
  text(pauseButton, pausedSince ? "Go on" : "Pause");
  text(tokenButton, hasToken() ? "Forget token" : "Enter token");
}

/** What there is to say of the page itself, and its mood. */
function news() {
  const gone = fleet.members.filter(member => member.state === "gone");
  const paused = pausedSince ? `paused at ${format.clock(pausedSince)}` : "";
  if (fleet.silentSince) return [`${location.host} gives no answer since ${format.clock(fleet.silentSince)}; what is shown is of before`, "bad"];
  if (gone.length) {
    const words = gone.map(member => `${member.name} is gone since ${format.clock(member.since)}`);
    return [[...words, paused].filter(word => word).join(", "), "bad"];
  }
  if (paused) return [paused, "quiet"];
  if (!fleet.hasLooked) return ["", "good"];
  return [fleet.members.length > 1 ? `live, ${fleet.members.length} programs` : "live", "good"];
}

/** Looks at the fleet, and again after a while; not while nobody sees the page. */
async function look() {
  again = looking;
  if (looking || document.hidden) return;
  looking = true;
  clearTimeout(timer);
  try {
    await fleet.look([...ALWAYS, ...view.wanted]);
  } finally {
    looking = false;
  }
  draw();
  if (again) look();
  else if (!pausedSince) timer = setTimeout(look, LOOK_MS);
}

document.addEventListener("visibilitychange", () => { if (!pausedSince) look(); });
document.addEventListener("changed", look);
document.addEventListener("token", head);
window.addEventListener("hashchange", () => {
  const next = viewAt(location.hash);
  if (next) open(next, true);
});
skip.addEventListener("click", event => {
  // The address stays that of the view.
  event.preventDefault();
  main.focus();
});
pauseButton.addEventListener("click", () => {
  pausedSince = pausedSince ? null : new Date();
  clearTimeout(timer);
  head();
  if (!pausedSince) look();
});
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
open(viewAt(location.hash) ?? views.overview, false);
