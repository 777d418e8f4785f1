// Fetches the state, now and then and when something happens, and shows it; says when the daemon is gone.

import { byId, element, seconds, show } from "./dom.js";
import { announce, follow } from "./events.js";
import { showMaster } from "./master.js";
import { chosen, showFleet, worst } from "./masters.js";
import { showTimeline } from "./timeline.js";

// Between two looks when nothing happens; longer where a look takes long, so that a large fleet costs little.
const EVERY = 2000;
const HIDDEN = 15000;
const SHARE = 20;
// After an event, so that what comes together is looked at once.
const SOON = 60;
const PATIENCE = 8000;

let picture = null;
let history = [];
let current = null;
let at = 0;
let lostSince = null;
let took = 0;
let timer = null;
let looking = false;
let again = false;

async function fetchJson(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
  if (!response.ok) throw new Error(`${path} answers ${response.status}: ${(await response.text()).trim()}`);
  return response.json();
}

async function look() {
  if (looking) {
    again = true;
    return;
  }
  looking = true;
  again = false;
  clearTimeout(timer);
  const began = performance.now();
  try {
    [picture, history] = await Promise.all([fetchJson("/v1/state"), fetchJson("/v1/history")]);
    at = Date.now();
    if (lostSince !== null) announce("the daemon answers again");
    lostSince = null;
    draw();
  } catch (error) {
    lost(error);
  }
  took = performance.now() - began;
  looking = false;
  const pause = Math.max(document.hidden ? HIDDEN : EVERY, took * SHARE);
  timer = setTimeout(look, again ? Math.max(SOON, took * 2) : pause);
  age();
}

function lost(error) {
  if (lostSince === null) {
    lostSince = Date.now();
    announce("the daemon does not answer");
  }
  const why = error instanceof TypeError || error.name === "TimeoutError" ? "" : ` (${error.message})`;
  byId("gone").dataset.why = why;
}

function draw() {
  const { masters } = picture;
  byId("identity").textContent = `${picture.address || "this sentinel"} · ${picture.myid.slice(0, 8)} · version ${picture.version}` +
    ` · epoch ${picture.current_epoch} · up ${seconds(picture.uptime_ms)}${picture.observes ? " · only observes" : ""}`;
  const troubles = [];
  if (picture.storage_error !== null) troubles.push(`The state cannot be written, so this sentinel neither votes nor leads: ${picture.storage_error}`);
  if (picture.tilt_ms !== null) troubles.push("This sentinel distrusts its clock (TILT): it watches, and does not act.");
  byId("troubles").hidden = troubles.length === 0;
  show(byId("troubles"), troubles, (lines) => lines.map((line) => element("li", {}, line)));
  const master = chosen(masters) ?? masters.find((one) => one.name === current) ?? worst(masters);
  current = master?.name ?? null;
  showFleet(masters, current);
  byId("everywhere-label").hidden = masters.length < 2;
  document.title = master ? `${master.name} ${master.address} · Consentinel` : "Consentinel";
  showTimeline(history, current, byId("everywhere").checked && masters.length > 1);
  if (master) showMaster(picture, master);
  else byId("master-title").textContent = "No master is watched";
  for (const section of document.querySelectorAll("main section")) section.hidden = !master && !section.contains(byId("master-title"));
  explain();
}

function age() {
  const badge = byId("freshness");
  const gone = byId("gone");
  gone.hidden = lostSince === null;
  if (lostSince !== null) {
    const since = new Date(lostSince).toLocaleTimeString(undefined, { hour12: false });
    const old = picture ? ` What you see is ${seconds(Date.now() - at)} old.` : "";
    gone.textContent = `The daemon has not answered since ${since}${gone.dataset.why ?? ""}.${old} This page goes on trying.`;
    badge.textContent = "daemon gone";
    badge.dataset.tone = "bad";
    document.body.classList.add("stale");
    return;
  }
  document.body.classList.remove("stale");
  if (!picture) return;
  const [old, pause] = [Date.now() - at, Math.max(EVERY, took * SHARE)];
  badge.textContent = old < 2 * EVERY ? "live" : `${seconds(old)} old`;
  badge.dataset.tone = old > 3 * pause ? "warn" : "good";
}

async function explain() {
  if (!byId("explain").open || current === null) return;
  const name = current;
  try {
    const { lines } = await fetchJson(`/v1/explain/${encodeURIComponent(name)}`);
    if (name === current) show(byId("explanation"), lines, () => lines.map((line) => element("li", {}, line)));
  } catch (error) {
    show(byId("explanation"), error.message, (text) => element("li", {}, text));
  }
}

const redraw = () => picture && draw();
addEventListener("hashchange", () => {
  redraw();
  byId("master").focus();
});
addEventListener("resize", redraw);
document.addEventListener("visibilitychange", () => !document.hidden && look());
byId("filter").addEventListener("input", () => picture && showFleet(picture.masters, current));
byId("everywhere").addEventListener("change", redraw);
byId("explain").addEventListener("toggle", explain);
setInterval(age, 1000);

let soon = null;
follow(
  () => {
    clearTimeout(soon);
    soon = setTimeout(look, SOON);
  },
  () => lostSince !== null && look(),
  () => {
    clearTimeout(soon);
    soon = setTimeout(look, SOON);
  },
);
look();
