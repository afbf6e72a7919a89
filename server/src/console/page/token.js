// The admin token: entered here, kept for this tab only, and sent in a header and nowhere else.

import { answered, h } from "./build.js";

const KEY = "store-console-tokens";

/** By the member's name; that of most members has the name "". */
let tokens = {};
try {
  tokens = JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
} catch {
  // A browser that keeps nothing asks again after each reload.
}

function keep() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(tokens));
  } catch {
    // As above.
  }
  document.dispatchEvent(new Event("token"));
}

export const hasToken = () => Object.keys(tokens).length > 0;

/** The token for a member, its own or that of all. */
export const tokenFor = member => tokens[member.name] ?? tokens[""] ?? null;

/** Takes a wrong token back. */
export function forgetToken(member) {
  if (tokens[member.name]) delete tokens[member.name];
  else delete tokens[""];
  keep();
}

export function forgetAll() {
  tokens = {};
  keep();
}

/** Asks for a member's token, and says what was wrong with the one before. Resolves to the token, or to null. */
export async function askForToken(member, wrong) {
  const other = wrong && hasToken();
  const field = h("input", { type: "password", id: "token-field", autocomplete: "off", required: true, spellcheck: "false", autofocus: true });
  const only = h("input", { type: "checkbox", id: "token-only", checked: other || undefined });
  let given = null;
  const form = h("form", { method: "dialog", on: { submit: () => { given = field.value.trim(); } } },
    h("h2", { id: "token-title" }, "Admin token"),
    wrong ? h("p", { class: "bad", role: "alert" }, `${member.name}: ${wrong}.`) : null,
    h("p", {}, "Changes need it. It is in the file that ", h("code", {}, "--admin-token-file"), " or ",
      h("code", {}, "admin_token_file"), " names; ", h("code", {}, "cargo xtask up"), " makes ", h("code", {}, ".store/admin-token"), "."),
    h("p", {}, h("label", { for: "token-field" }, "Token"), field),
    h("p", { class: "check" }, only, h("label", { for: "token-only" }, `only for ${member.name}; others have another`)),
    h("p", { class: "muted" }, "It is kept until this tab is closed, and sent to members of this fleet only."),
    h("p", { class: "buttons" },
      h("button", { type: "button", on: { click: () => dialog.close() } }, "Cancel"),
      h("button", { type: "submit", class: "main" }, "Use it")));
  const dialog = h("dialog", { "aria-labelledby": "token-title" }, form);
  await answered(dialog);
  if (!given) return null;
  tokens[only.checked ? member.name : ""] = given;
  keep();
  return given;
}
