// One master: what it is, its servers, the sentinels, what DNS answers, what Consul holds.

import { badge, byId, bytes, element, seconds, show, span, table } from "./dom.js";
import { condition } from "./masters.js";
import { showTopology } from "./topology.js";

const HEALTH = { passing: "good", warning: "warn", critical: "bad", unknown: "wait" };

export function showMaster(picture, master) {
  const [word, tone, sentence] = condition(master);
  byId("master-title").textContent = master.name;
  const state = byId("master-state");
  state.textContent = word;
  state.dataset.tone = tone;
  byId("master-facts").textContent =
    `${master.address}, epoch ${master.epoch}. ${sentence[0].toUpperCase()}${sentence.slice(1)}. ` +
    `It takes ${master.quorum} of ${master.all_sentinels} to agree that it is down, after ${master.down_after_ms % 1000 ? span(master.down_after_ms) : seconds(master.down_after_ms)} of silence.`;
  showTopology(byId("topology"), master);
  showAnswers(picture, master);
  showServers(master);
  showSentinels(picture, master);
  showConsul(picture, master);
}

function showAnswers(picture, master) {
  const { name, master: address, replicas, silence } = master.answer;
  const model = { name, address, replicas, silence, dns: picture.dns, consul: picture.consul?.state ?? null };
  show(byId("answers"), model, () => {
    const replicaName = name.replace(/^([^.]+)\./, "$1-replica.");
    const answer = address !== null
      ? element("span", {}, element("strong", { class: "address" }, address))
      : element("span", {}, badge("no answer", "bad"), ` ${silence ?? ""}`);
    const list = replicas.length
      ? element("ul", { class: "plain" }, replicas.map((one) => element("li", { class: "address" }, one)))
      : badge("no answer", "warn");
    const rows = [[name, "SRV", answer], [replicaName, "SRV", list]].map(([asked, kind, said]) =>
      [element("span", { class: "address" }, asked), kind, said]);
    const where = picture.dns.map((at) => {
      const [, host, port] = at.match(/^\[?(.*?)\]?:(\d+)$/) ?? [null, at, "53"];
      return element("p", { class: "small" }, "Ask: ", element("code", {}, `dig @${host} -p ${port} ${name} SRV`));
    });
    const none = picture.dns.length || picture.consul !== null ? null
      : element("p", { class: "small" }, "Nobody is answered: this daemon serves no DNS (--dns) and publishes into no Consul (--consul). This is what it would answer.");
    return [table("What is asked and what is answered", ["Name", "Type", "Answer"], rows), ...where, none];
  });
}

function showServers(master) {
  const row = (server, kind) => ({
    address: server.address, kind, said: server.role, state: server.state, health: server.health,
    lag: kind === "master" ? null : server.lag_bytes, offset: server.offset, priority: server.priority,
    version: server.version, linked: server.linked,
  });
  const model = [row(master.server, "master"), ...master.replicas.map((replica) => row(replica, "replica"))];
  show(byId("servers"), model, () => table("The master and its replicas",
    ["Address", "Role", "Health", "State", "Behind", "Offset", "Priority", "Version"],
    model.map((one) => [
      element("span", { class: "address" }, one.address),
      one.said !== null && one.said !== one.kind ? `${one.kind}, says ${one.said}` : one.kind,
      badge(one.health, HEALTH[one.health] ?? "wait"), one.state,
      one.lag === null ? "–" : bytes(one.lag), String(one.offset), String(one.priority), one.version ?? "–",
    ])));
}

function showSentinels(picture, master) {
  const short = (id) => (id ? id.slice(0, 8) : "–");
  const self = { id: picture.myid, address: picture.address || "this one", state: "this sentinel", tone: "good",
    down: master.server.sdown_ms !== null, vote: master.voted_for, epoch: master.voted_epoch };
  const others = master.sentinels.map((peer) => ({
    id: peer.id, address: peer.address, down: peer.says_down, vote: peer.voted_for, epoch: peer.voted_epoch,
    state: peer.sdown_ms !== null ? "silent" : peer.linked ? "linked" : "no link",
    tone: peer.sdown_ms !== null ? "bad" : peer.linked ? "good" : "warn",
  }));
  const model = [self, ...others];
  show(byId("sentinels"), model, () => table("The sentinels that watch this master",
    ["Address", "Identity", "State", "Says of the master", "Voted for"],
    model.map((one) => [
      element("span", { class: "address" }, one.address), element("code", {}, short(one.id)), badge(one.state, one.tone),
      one.down ? badge("down", "bad") : "alive",
      one.vote ? element("span", {}, element("code", {}, short(one.vote)), ` in epoch ${one.epoch}`) : "–",
    ])));
}

const STATES = { published: "good", behind: "warn", unseen: "wait", fenced: "bad", contradicted: "bad", taken: "bad" };

function showConsul(picture, master) {
  const { consul } = picture;
  const held = master.publication;
  const model = consul && held
    ? [consul.address, consul.state, consul.trouble, consul.dry_run, { ...held, seen_ms: null }]
    : null;
  show(byId("consul"), model, () => {
    if (!model) return element("p", {}, "Nothing is published: this daemon was not told of a Consul.");
    const facts = [`Service ${held.service}, node ${held.node}.`];
    if (held.record_master) facts.push(`The record names ${held.record_master}, epoch ${held.record_epoch}.`);
    if (held.lock) facts.push({ ours: "This sentinel keeps it up to date.", theirs: "Another sentinel keeps it up to date.",
      free: "Nobody keeps it up to date at the moment." }[held.lock] ?? "");
    if (consul.dry_run) facts.push("Nothing is written (dry run).");
    const published = new Map(held.published.map((entry) => [`${entry.role} ${entry.address}`, entry]));
    const desired = new Map(held.desired.map((entry) => [`${entry.role} ${entry.address}`, entry]));
    const rows = [...new Set([...desired.keys(), ...published.keys()])].map((key) => {
      const [wanted, there] = [desired.get(key), published.get(key)];
      const agree = wanted && there && wanted.health === there.health && wanted.epoch === there.epoch;
      const cell = (entry) => (entry ? badge(entry.health, HEALTH[entry.health] ?? "wait") : badge("absent", "wait"));
      return [element("span", { class: "address" }, key), cell(wanted), cell(there),
        agree ? badge("agrees", "good") : badge("differs", "warn")];
    });
    return [
      element("p", {}, badge(held.state, STATES[held.state] ?? "wait"), ` ${consul.address}. ${facts.join(" ")}`),
      consul.trouble || held.error ? element("p", { class: "trouble" }, consul.trouble ?? held.error) : null,
      ...held.foreign.map((foreign) => element("p", { class: "trouble" }, `Somebody else's, and answered by DNS, too: ${foreign}`)),
      element("div", { class: "wide", role: "region", "aria-label": "Entries in Consul", tabindex: "0" },
        table("What Consul should hold and holds", ["Entry", "Should be", "Is", ""], rows)),
    ];
  });
}
