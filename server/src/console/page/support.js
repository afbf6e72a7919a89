// The first of the page's modules: whether the browser has what the others call. One that can't even read modules keeps what
// index.html says.

/** What browsers have since 2022 or earlier, with what this one has of it. */
const NEEDED = {
  "AbortSignal.timeout": globalThis.AbortSignal?.timeout,
  "Array.prototype.at": Array.prototype.at,
  "CSS.escape": globalThis.CSS?.escape,
  "Element.prototype.replaceChildren": Element.prototype.replaceChildren,
  "HTMLDialogElement.prototype.showModal": globalThis.HTMLDialogElement?.prototype.showModal,
  "Object.hasOwn": Object.hasOwn,
  "Promise.allSettled": Promise.allSettled,
  "ResizeObserver": globalThis.ResizeObserver,
  "String.prototype.replaceAll": String.prototype.replaceAll,
};

const missing = Object.keys(NEEDED).filter(name => !NEEDED[name]);
if (missing.length) {
  const words = `This browser is too old for this page: it has no ${missing.join(", no ")}.`;
  const state = document.getElementById("state");
  state.setAttribute("role", "alert");
  state.textContent = words;
  // No other module begins.
  throw new Error(words);
}
