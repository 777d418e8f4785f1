// The events as they come, and words for those that matter to listeners.

import { byId, clock, element } from "./dom.js";

const LISTED = 200;
const TONES = { "+sdown": "warn", "+odown": "bad", "+switch-master": "good", "+tilt": "bad", "-sdown": "good", "-odown": "good",
  "+promoted-slave": "good", "+failover-end": "good" };

const seen = new Set();
let last = Promise.resolve();

function words({ event, text, master }) {
  const of = master ?? "";
  const parts = text.split(" ");
  switch (event) {
    case "+sdown": return text.startsWith("master ") ? `${of}: the master is silent` : null;
    case "+odown": return `${of}: the master is down, a quorum agrees`;
    case "-odown": return `${of}: the master is back`;
    case "+try-failover": return `${of}: a failover begins`;
    case "+switch-master": return `${of}: the new master is ${parts[3]} port ${parts[4]}`;
    case "+failover-end": return `${of}: the failover is complete`;
    case "+tilt": return "this sentinel distrusts its clock";
    default: return event.startsWith("-failover-abort") ? `${of}: a failover attempt was given up` : null;
  }
}

// A screen reader says one thing after the other; what comes at once is said at once.
let waiting = [];
export function announce(text) {
  waiting.push(text);
  if (waiting.length > 1) return;
  last = last.then(() => new Promise((done) => setTimeout(() => {
    byId("announcement").textContent = waiting.slice(-4).join(". ");
    waiting = [];
    done();
  }, 300)));
}

function add(happening) {
  const list = byId("events");
  list.prepend(element("li", { "data-tone": happening.event.startsWith("-failover-abort") ? "bad" : TONES[happening.event] },
    clock(happening.unix_ms), " ", element("strong", {}, happening.event), " ",
    element("span", { class: "words" }, happening.text)));
  while (list.children.length > LISTED) list.lastChild.remove();
  byId("events-state").textContent = "newest first";
}

function note(text) {
  byId("events").prepend(element("li", { class: "note" }, text));
}

// Follows the events for as long as the page is open. `onEvent` is called for each, `onOpen` when the connection stands.
export function follow(onEvent, onOpen, onLost) {
  let newest = 0;
  const connect = () => {
    const source = new EventSource("/v1/events?last=100");
    source.addEventListener("open", onOpen);
    source.addEventListener("happening", (message) => {
      if (seen.has(message.lastEventId)) return;
      seen.add(message.lastEventId);
      if (seen.size > 4000) seen.clear();
      const happening = JSON.parse(message.data);
      // Several things happen in one millisecond.
      const fresh = happening.unix_ms >= newest && Date.now() - happening.unix_ms < 10000;
      newest = Math.max(newest, happening.unix_ms);
      add(happening);
      const said = fresh ? words(happening) : null;
      if (said) announce(said);
      onEvent(happening);
    });
    source.addEventListener("gap", (message) => note(`${JSON.parse(message.data).missed} events were missed`));
    source.addEventListener("restart", () => note("the daemon was started again"));
    source.addEventListener("error", () => {
      onLost();
      // It comes back by itself, unless it was told not to.
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
    });
  };
  connect();
}
