// The topology as a picture: sentinels above, the master, its replicas below. Nodes keep their elements, so that a replica
// that becomes the master moves into its place.

import { bytes, seconds, shape } from "./dom.js";

// More of a kind are in the tables, and counted here.
const DRAWN = 6;

const HEIGHT = { sentinel: 46, server: 70 };
const GAP = 14;
const ROW = { sentinels: 8, master: 106, replicas: 232 };

const nodes = new Map();

function server(server, kind) {
  const down = server.sdown_ms !== null;
  const tone = down || server.health === "critical" ? "bad" : server.health === "warning" ? "warn"
    : server.role === null ? "wait" : "good";
  const notes = [];
  if (down) notes.push(`down for ${seconds(server.sdown_ms)}`);
  else if (!server.linked) notes.push("no link");
  else if (server.loading) notes.push("loading");
  else if (server.syncing) notes.push("copying");
  else if (kind === "replica" && !server.master_link_up) notes.push("not linked to its master");
  else if (kind === "replica" && server.lag_bytes !== null) {
    notes.push(server.lag_bytes === 0 ? "in step" : `${bytes(server.lag_bytes)} behind`);
  } else notes.push(server.role ?? "not seen yet");
  const said = !down && server.role !== null && server.role !== kind ? `says: ${server.role}` : kind;
  return { key: `server ${server.address}`, kind, lines: [said, server.address, notes[0]], tone };
}

function peer(sentinel) {
  const down = sentinel.sdown_ms !== null;
  const tone = down ? "bad" : sentinel.says_down ? "warn" : "good";
  const note = down ? "silent" : sentinel.says_down ? "says: down" : "sentinel";
  return { key: `peer ${sentinel.id}`, kind: "sentinel", lines: [note, sentinel.address], tone };
}

function few(all, what) {
  const [drawn, rest] = [all.slice(0, DRAWN), all.length - DRAWN];
  if (rest > 0) {
    drawn.push({ key: `more ${what}`, kind: what === "sentinels" ? "sentinel" : "replica", tone: "wait",
      lines: [`and ${rest} more`, what, what === "sentinels" ? "" : "see the table"] });
  }
  return drawn;
}

// Places the nodes of a row in the middle, in as many lines as are needed. Gives the height.
function place(row, width, top, boxWidth, boxHeight) {
  const inLine = Math.max(1, Math.min(row.length, Math.floor((width + GAP) / (boxWidth + GAP))));
  row.forEach((node, at) => {
    const line = Math.floor(at / inLine);
    const here = Math.min(inLine, row.length - line * inLine);
    const left = (width - here * boxWidth - (here - 1) * GAP) / 2;
    Object.assign(node, { x: left + (at % inLine) * (boxWidth + GAP), y: top + line * (boxHeight + GAP), w: boxWidth, h: boxHeight });
  });
  return Math.ceil(row.length / inLine) * (boxHeight + GAP) - GAP;
}

const MARK = { good: "✓", warn: "!", bad: "✕", wait: "…" };

function draw(group, node) {
  group.setAttribute("class", `node ${node.kind} ${node.tone}`);
  const middle = node.w / 2;
  const step = node.h / (node.lines.length + 1);
  group.replaceChildren(
    shape("rect", { width: node.w, height: node.h, rx: node.kind === "sentinel" ? node.h / 2 : 8 }),
    ...node.lines.map((line, at) =>
      shape("text", { x: middle, y: step * (at + 1) + 4, class: at === 1 ? "address" : "note", "text-anchor": "middle",
        // An address of IPv6 is as long as it is: it is made to fit.
        textLength: line.length * 7.4 > node.w - 10 ? node.w - 10 : undefined, lengthAdjust: "spacingAndGlyphs" },
      at === 0 ? `${MARK[node.tone]} ${line}` : line)));
}

function describe(master) {
  const server = (one) => `${one.address} (${one.state})`;
  const replicas = master.replicas.length === 0 ? "no replicas" : `replicas ${master.replicas.map(server).join(", ")}`;
  const silent = master.sentinels.filter((peer) => peer.sdown_ms !== null).length;
  return `Master ${server(master.server)}; ${replicas}; ${master.sentinels.length} other sentinels, ${silent} of them silent.`;
}

export function showTopology(svg, master) {
  const width = Math.max(280, Math.floor(svg.parentElement.clientWidth));
  const boxWidth = Math.min(190, width > 420 ? 160 : (width - GAP) / 2);
  const sentinels = few([{ key: "self", kind: "sentinel", lines: ["this sentinel", "watches"], tone: "good" },
    ...master.sentinels.map(peer)], "sentinels");
  const center = [server(master.server, "master")];
  const replicas = few(master.replicas.map((replica) => server(replica, "replica")), "replicas");
  let top = ROW.sentinels;
  top += place(sentinels, width, top, boxWidth, HEIGHT.sentinel) + 46;
  top += place(center, width, top, Math.min(220, width), HEIGHT.server) + 50;
  top += replicas.length ? place(replicas, width, top, boxWidth, HEIGHT.server) : -40;
  const height = Math.ceil(top + 8);

  const lines = [];
  const [middle, roof, floor] = [center[0].x + center[0].w / 2, center[0].y, center[0].y + center[0].h];
  for (const one of sentinels) {
    lines.push(shape("path", { class: `watch ${one.tone}`,
      d: `M${one.x + one.w / 2} ${one.y + one.h}C${one.x + one.w / 2} ${one.y + one.h + 30} ${middle} ${roof - 36} ${middle} ${roof}` }));
  }
  replicas.forEach((one, at) => {
    const linked = master.replicas[at]?.master_link_up && one.tone !== "bad";
    lines.push(shape("path", { class: `follow ${linked ? "good" : "bad"}`,
      d: `M${middle} ${floor}C${middle} ${floor + 34} ${one.x + one.w / 2} ${one.y - 34} ${one.x + one.w / 2} ${one.y - 7}`,
      "marker-end": linked ? "url(#arrow)" : undefined }));
  });

  if (!svg.querySelector("title")) {
    svg.replaceChildren(
      shape("title", { id: "topology-title" }, "Topology"), shape("desc", { id: "topology-text" }),
      shape("defs", {}, shape("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 1, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
        shape("path", { d: "M0 0 8 4 0 8z", class: "arrow" }))),
      shape("g", { class: "lines" }), shape("g", { class: "nodes" }));
  }
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.querySelector("desc").textContent = describe(master);
  svg.querySelector(".lines").replaceChildren(...lines);

  const layer = svg.querySelector(".nodes");
  const wanted = new Map([...sentinels, ...center, ...replicas].map((node) => [node.key, node]));
  for (const [key, known] of nodes) {
    if (!wanted.has(key)) {
      known.group.remove();
      nodes.delete(key);
    }
  }
  for (const [key, node] of wanted) {
    let known = nodes.get(key);
    if (!known) {
      known = { group: shape("g"), text: "" };
      nodes.set(key, known);
      layer.append(known.group);
    }
    known.group.style.transform = `translate(${node.x}px, ${node.y}px)`;
    const text = JSON.stringify([node.kind, node.tone, node.lines, node.w, node.h]);
    if (known.text !== text) {
      known.text = text;
      draw(known.group, node);
    }
  }
}
