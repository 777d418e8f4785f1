// The list of masters, for daemons that watch more than one.

import { badge, byId, element, show } from "./dom.js";

// More than these nobody reads: the filter finds the others.
const LISTED = 100;

const number = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

// How a master is, worst first: a word, a tone, and a sentence.
export function condition(master) {
  const ill = master.replicas.filter((replica) => replica.health !== "passing");
  const heard = `${master.usable_sentinels} of ${number(master.all_sentinels, "sentinel")} can be heard`;
  if (master.failover) return ["failing over", "warn", master.failover.words];
  if (master.odown_ms !== null) return ["down", "bad", "a quorum of the sentinels takes it for down"];
  if (master.server.sdown_ms !== null) return ["suspected", "warn", "this sentinel takes it for down, no quorum does"];
  if (!master.majority_reachable) return ["no majority", "bad", `${heard}: no failover is possible`];
  if (master.server.role === null) return ["unseen", "wait", "it has not answered yet"];
  if (master.replicas.length === 0) return ["alone", "warn", "it has no replica that could take its place"];
  if (ill.length > 0) return ["degraded", "warn", `${ill.length} of ${number(master.replicas.length, "replica")} not well`];
  if (!master.quorum_reachable) return ["no quorum", "warn", `${heard}: nobody could call it down`];
  if (master.usable_sentinels < master.all_sentinels) return ["degraded", "warn", heard];
  return ["well", "good", `${number(master.replicas.length, "replica")} in step, ${heard}`];
}

const ORDER = { bad: 0, warn: 1, wait: 2, good: 3 };

export function chosen(masters) {
  const wanted = new URLSearchParams(location.hash.slice(1)).get("m");
  return masters.find((master) => master.name === wanted);
}

// In trouble first, for the first look.
export function worst(masters) {
  const weight = (master) => ORDER[condition(master)[1]];
  return masters.reduce((worst, master) => (weight(master) < weight(worst) ? master : worst), masters[0]);
}

export const link = (name) => `#${new URLSearchParams({ m: name })}`;

export function showFleet(masters, current) {
  byId("fleet").hidden = masters.length < 2;
  if (masters.length < 2) return;
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (master) =>
    [master.name, master.address, condition(master)[0], ...master.replicas.map((replica) => replica.address)]
      .join(" ").toLowerCase();
  const fitting = words.length === 0
    ? masters
    : masters.filter((master) => { const all = text(master); return words.every((word) => all.includes(word)); });
  const rows = fitting.map((master) => {
    const [word, tone] = condition(master);
    return { name: master.name, address: master.address, word, tone, current: master.name === current };
  });
  // Those in trouble stand first; the others keep their order.
  rows.sort((a, b) => Number(a.tone === "good") - Number(b.tone === "good"));
  const counts = {};
  for (const master of masters) {
    const [word] = condition(master);
    counts[word] = (counts[word] ?? 0) + 1;
  }
  const summary = Object.entries(counts).map(([word, count]) => `${count} ${word}`).join(", ");
  show(byId("fleet-counts"), `${masters.length} masters: ${summary}`, (line) => line);
  show(byId("masters"), rows.slice(0, LISTED), (listed) => listed.map((row) =>
    element("li", {},
      element("a", { href: link(row.name), "aria-current": row.current ? "true" : undefined },
        element("span", { class: "name" }, row.name),
        badge(row.word, row.tone),
        element("span", { class: "small" }, row.address)))));
  const rest = rows.length - LISTED;
  byId("masters-more").hidden = rest <= 0 && rows.length > 0;
  byId("masters-more").textContent =
    rows.length === 0 ? "None fits the filter." : `and ${rest} more: type to find them.`;
}
