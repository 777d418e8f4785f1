// The last failovers, each as a bar of its phases and as a table of them.

import { badge, byId, clock, element, shape, show, span, table } from "./dom.js";

const SHOWN = 8;

const OUTCOMES = { done: "good", "under-way": "warn", aborted: "bad", over: "wait" };

// What passes until a mark, in words.
const BEFORE = {
  silent: "the last sign of life", sdown: "silence until this sentinel takes it for down", odown: "until a quorum agrees",
  voted: "until this sentinel has voted", standing: "until this sentinel stands for election", elected: "votes are counted",
  selected: "a replica is chosen", told: "it is told", promoted: "it becomes master", heard: "another sentinel says who is master",
  switched: "the new master is on disk and told to all", published: "Consul knows", reconfigured: "a replica follows the new master",
  end: "all replicas follow", aborted: "given up", "sdown-over": "it answers again", "odown-over": "the quorum takes it back",
};

export function showTimeline(history, name, everywhere) {
  const fitting = history.filter((failover) => everywhere || failover.master === name).slice(0, SHOWN);
  const open = new Set([...byId("timeline").querySelectorAll("details[open]")].map((one) => one.dataset.key));
  const known = new Set([...byId("timeline").querySelectorAll("details")].map((one) => one.dataset.key));
  show(byId("timeline"), [everywhere, fitting], () => {
    if (fitting.length === 0) return element("p", {}, "None since this daemon was started.");
    return fitting.map((failover, at) => draw(failover, everywhere, open, known, at));
  });
}

function draw(failover, everywhere, open, known, at) {
  const key = `${failover.number}`;
  const marks = failover.phases;
  const total = marks.length ? marks[marks.length - 1].at_ms : 0;
  const switched = marks.find((mark) => mark.phase === "switched");
  const way = failover.to ? `${failover.from || "?"} → ${failover.to}` : failover.from;
  const facts = [
    failover.epoch !== null ? `epoch ${failover.epoch}` : null,
    failover.led ? "led by this sentinel" : "led by another sentinel",
    failover.ordered ? "ordered" : null,
    failover.attempts > 1 ? `${failover.attempts} attempts` : null,
    failover.reason,
  ].filter(Boolean).join(", ");
  const sum = switched ? `${span(switched.at_ms)} from the last sign of life to the new master` : `${span(total)} so far`;
  const rows = marks.map((mark, index) => [
    mark.phase,
    element("span", { class: "number" }, span(mark.at_ms)),
    element("span", { class: "number" }, index ? `+ ${span(mark.at_ms - marks[index - 1].at_ms)}` : ""),
    element("span", {}, BEFORE[mark.phase] ?? "", element("span", { class: "small words" }, mark.words)),
  ]);
  const isOpen = known.has(key) ? open.has(key) : at === 0;
  return element("article", { class: "failover" },
    element("h3", {}, clock(failover.began_unix_ms), " ", everywhere ? `${failover.master}: ` : "",
      element("span", { class: "address" }, way), " ", badge(failover.outcome, OUTCOMES[failover.outcome] ?? "wait")),
    element("p", {}, `${sum}; ${facts}.`),
    bar(marks, total),
    element("details", { "data-key": key, open: isOpen },
      element("summary", {}, `${marks.length} phases`),
      table("The phases of this failover", ["Phase", "At", "Took", "What"], rows)));
}

// Each phase by its share of time. Silence is mostly waiting, and mostly longest: what follows is drawn by itself when it
// would not be seen beside it.
function bar(marks, total) {
  if (marks.length < 2 || total <= 0) return null;
  const from = marks.findIndex((mark) => mark.phase === "sdown");
  const tail = from > 0 && total - marks[from].at_ms < total / 5 && marks.length - from > 1;
  const bars = [stripe(marks, "all of it")];
  if (tail) bars.push(stripe(marks.slice(from), "after the silence"));
  return element("div", { class: "bars" }, bars);
}

function stripe(marks, what) {
  const [first, last] = [marks[0].at_ms, marks[marks.length - 1].at_ms];
  const whole = Math.max(last - first, 0.001);
  const parts = marks.slice(1).map((mark, at) => ({ name: mark.phase, from: marks[at].at_ms - first, took: mark.at_ms - marks[at].at_ms }));
  const text = `${what}, ${span(whole)}: ${parts.map((part) => `${part.name} ${span(part.took)}`).join(", ")}`;
  parts.forEach((part, at) => { part.colour = `p${at % 2}`; });
  const rects = parts.map((part) => shape("rect", {
    x: (part.from / whole) * 1000, y: 0, width: Math.max((part.took / whole) * 1000, 2), height: 22, class: `part ${part.colour}`,
  }, shape("title", {}, `${part.name}: ${span(part.took)}`)));
  return element("div", { class: "bar" },
    shape("svg", { viewBox: "0 0 1000 22", preserveAspectRatio: "none", role: "img", "aria-label": text }, rects),
    element("p", { class: "small" }, `${what}: ${span(whole)}`),
    element("ul", { class: "legend small" }, parts.filter((part) => part.took / whole > 0.02).map((part) =>
      element("li", { class: part.colour }, `${part.name} ${span(part.took)}`))));
}
