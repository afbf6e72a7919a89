// Elements. Text is always text: nothing here makes markup of a string.

const SVG = "http://www.w3.org/2000/svg";

// A click is a press and a release on one element, which is not replaced between the two.
let isPressed = false;
addEventListener("pointerdown", () => { isPressed = true; }, true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { isPressed = false; }, true);

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
 * Puts children in the place of others, if `what` they show is another than before. Whoever had the focus, by its
 * `data-key`, has it again. While the visitor clicks nothing is replaced; the next look does it.
 */
export function show(node, what, children) {
  const text = JSON.stringify(what);
  if (node.shown === text || isPressed) return;
  node.shown = text;
  const key = node.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const open = new Set([...node.querySelectorAll("details[open]")].map(details => details.dataset.key));
  node.replaceChildren(...[children()].flat(3).filter(child => child));
  for (const details of node.querySelectorAll("details")) if (open.has(details.dataset.key)) details.open = true;
  if (key !== undefined) node.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

/** Sets a text, if it is another than before: a screen reader reads what changes. */
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/** A table in a frame that scrolls sideways. A column is a title, or a title and the class of its cells. */
export function table(label, columns, rows) {
  const head = columns.map(column => h("th", { scope: "col", class: column.class }, column.title ?? column));
  const body = rows.map(row =>
    h("tr", { class: row.class, "data-row": row.key },
      row.cells.map((cell, at) =>
        h(at === 0 ? "th" : "td", { class: columns[at].class, scope: at === 0 ? "row" : undefined }, cell))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

/** A word with a colour and a mark, so that it is not the colour alone that tells. */
export const pill = (word, mood) => h("span", { class: `pill ${mood}` }, word);
