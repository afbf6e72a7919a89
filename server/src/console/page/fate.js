// What became of a version that was tried, as far as a host's status and its audit log tell.

/** What the result of a change makes of the generation that it was about, once it serves no longer. */
const ENDS = {
  withdrawn: "withdrawn", aborted: "aborted",
  promoted: "was stable", swapped: "was stable", "rolled-back": "was stable", settled: "was stable",
};

/** How wide the line of a version is drawn: wide while it is tried, and thin once it no longer serves. */
export const STROKES = { "on trial": "strong", stable: undefined, "was stable": "thin", withdrawn: "thin", aborted: "thin", earlier: "thin" };

/** What the status of a host's component says of a generation; nothing if it has forgotten it. */
export function told({ canary, generations, last }, number) {
  if (canary?.generation === number) return "on trial";
  const state = generations.find(one => one.generation === number)?.state;
  if (state === "live") return "stable";
  // A version that was withdrawn is not kept.
  if (state === "kept") return "was stable";
  return last?.generation === number ? ENDS[last.result] : undefined;
}

/** What the log says, the newest line first. */
function logged(events, id, number) {
  if (!events) return undefined;
  const results = events.audit.filter(({ fields }) => fields?.component === id && fields.generation === number).map(line => line.fields.result);
  const end = results.find(result => Object.hasOwn(ENDS, result));
  if (end) return ENDS[end];
  // A trial's begin is logged: a version without a line has served since the host's start.
  return results.length ? undefined : "was stable";
}

/** In a word or two: `on trial`, `stable`, `was stable`, `withdrawn` or `aborted`; `earlier` as long as nothing tells. */
export function fate(host, component, number) {
  return told(component, number) ?? logged(host.events, component.component, number) ?? "earlier";
}
