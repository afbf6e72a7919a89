// Elements. Text is always text: nothing here makes markup of a string.

const SVG = "http://www.w3.org/2000/svg";

/** Longest time between the press and the release of a click. */
const CLICK_MS = 2000;

// A click is a press and a release on one element, which is not replaced between the two. A press that opens a menu, moves a
// scroll bar or drags something has no release.
let pressedAt = -Infinity;
const release = () => { pressedAt = -Infinity; };
addEventListener("pointerdown", () => { pressedAt = performance.now(); }, true);
for (const end of ["pointerup", "pointercancel", "contextmenu", "dragend"]) addEventListener(end, release, true);
// Of the window only: elements lose the focus by a press.
addEventListener("blur", release);

function set(node, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name === "on") {
    for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

function made(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) set(node, name, value);
  node.append(...children.flat(2).filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

/** An element with attributes (`on` has listeners) and children. */
export const h = (tag, attributes = {}, ...children) => made(document.createElement(tag), attributes, children);

/** An element of a drawing. */
export const s = (tag, attributes = {}, ...children) => made(document.createElementNS(SVG, tag), attributes, children);

/**
 * Puts children in the place of others, if `what` they show is another than before. Whoever had the focus has it again, and
 * what was scrolled sideways still is. While the visitor clicks nothing is replaced; the next look does it.
 */
export function show(node, what, children) {
  const text = JSON.stringify(what);
  if (node.shown === text || performance.now() - pressedAt < CLICK_MS) return;
  node.shown = text;
  const keys = node.contains(document.activeElement) ? keysOf(document.activeElement) : [];
  const scrolled = [...node.querySelectorAll(".scroll")].filter(frame => frame.scrollLeft > 0).map(frame => [frame.dataset.key, frame.scrollLeft]);
  node.replaceChildren(...[children()].flat(3).filter(child => child));
  for (const [key, left] of scrolled) {
    const frame = withKey(key, node);
    if (frame) frame.scrollLeft = left;
  }
  focusFirst(keys, node);
}

/** The `data-key` of an element and of those that it is in, by which they are found again when they were replaced. */
function keysOf(element) {
  const keys = [];
  for (let at = element?.closest("[data-key]"); at; at = at.parentElement?.closest("[data-key]")) keys.push(at.dataset.key);
  return keys;
}

/** Gives the focus to the first of these keys that there still is. */
function focusFirst(keys, within = document) {
  keys.map(key => withKey(key, within)).find(element => element)?.focus({ preventScroll: true });
}

/** Shows a dialog until it is closed, and resolves to what it was closed with. Whoever had the focus has it again. */
export function answered(dialog) {
  const keys = keysOf(document.activeElement);
  return new Promise(resolve => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      // The browser gives it back only to an element that is still there.
      if (document.activeElement === document.body) focusFirst(keys);
      resolve(dialog.returnValue);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

const withKey = (key, within) => within.querySelector(`[data-key="${CSS.escape(key)}"]`);

/** Sets a text, if it is another than before: a screen reader reads what changes. */
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/** A frame that scrolls sideways, by keyboard too. */
export const frame = (label, ...children) =>
  h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label, "data-key": label }, ...children);

/** A table in such a frame. A column is a title, or a title and the class of its cells. */
export function table(label, columns, rows) {
  const head = columns.map(column => h("th", { scope: "col", class: column.class }, column.title ?? column));
  const body = rows.map(row =>
    h("tr", { class: row.class, "data-row": row.key },
      row.cells.map((cell, at) =>
        h(at === 0 ? "th" : "td", { class: columns[at].class, scope: at === 0 ? "row" : undefined }, cell))));
  return frame(label, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

/** A word with a colour and a mark, so that it is not the colour alone that tells. */
export const pill = (word, mood) => h("span", { class: `pill ${mood}` }, word);
