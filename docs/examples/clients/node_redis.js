// node-redis 4, as Debian 12 has it, by Sentinel: this version cannot ask sentinels, so connect() does. Version 5 has createSentinel().
//
//     apt-get install nodejs node-redis          or: npm install redis@4
//     SENTINELS=10.0.0.1:26379,10.0.0.2:26379,10.0.0.3:26379 node node_redis.js    # then kill the master
//
// MASTER is the name in sentinel.conf, REDIS_PASSWORD the servers' password.

const { createClient } = require("redis");

const TIMEOUT = 1000; // milliseconds
const PERIOD = 10; // milliseconds between two writes
const DEADLINE = 60_000; // for the whole try
const ENOUGH = 20; // writes on the new server

const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

/** The answer, or an error when there is none in time: node-redis itself waits without end. */
function inTime(answer) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${TIMEOUT} ms`)), TIMEOUT);
  });
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

/** One connection to one address, which fails when it is lost: to connect again means to ask the sentinels again. */
async function open(host, port, password) {
  const client = createClient({
    socket: { host, port, connectTimeout: TIMEOUT, reconnectStrategy: () => new Error("the connection was lost") },
    password,
    disableOfflineQueue: true,
  });
  // The call that waits gets the error, too; without a listener the process would end.
  client.on("error", () => {});
  await inTime(client.connect());
  return client;
}

function close(client) {
  // It may be closed already, and then says so.
  client.disconnect().catch(() => {});
}

/** The master: the first sentinel that knows one, and a server that says of itself that it is it. */
async function connect() {
  const name = process.env.MASTER ?? "mymaster";
  const reasons = [];
  for (const address of (process.env.SENTINELS ?? "127.0.0.1:26379").split(",")) {
    const at = address.lastIndexOf(":");
    let sentinel, master;
    try {
      sentinel = await open(address.slice(0, at), Number(address.slice(at + 1)));
      const found = await inTime(sentinel.sendCommand(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", name]));
      if (found === null) throw new Error(`it knows no ${name}`);
      master = await open(found[0], Number(found[1]), process.env.REDIS_PASSWORD);
      const [role] = await inTime(master.sendCommand(["ROLE"]));
      // A sentinel may be behind.
      if (role !== "master") throw new Error(`${found.join(":")} is no master`);
      return master;
    } catch (error) {
      if (master) close(master);
      reasons.push(`${address}: ${error.message}`);
    } finally {
      if (sentinel) close(sentinel);
    }
  }
  throw new Error(`no master. ${reasons.join("; ")}`);
}

async function main() {
  let client, first, last, complaint;
  let count = 0, moved = 0, longest = 0;
  const end = performance.now() + DEADLINE;
  while (performance.now() < end) {
    let server;
    try {
      client ??= await connect();
      await inTime(client.set("example", String(count + 1)));
      const info = await inTime(client.info("server"));
      server = Object.fromEntries(info.split("\r\n").map((line) => line.split(":", 2)));
    } catch (error) {
      if (client) close(client);
      client = undefined;
      if (error.message !== complaint) console.log("no write:", (complaint = error.message));
      await pause(PERIOD);
      continue;
    }
    count += 1;
    const now = performance.now();
    longest = last === undefined ? 0 : Math.max(longest, now - last);
    last = now;
    if (first === undefined) {
      first = server.run_id;
      console.log("writing to port", server.tcp_port);
    }
    if (server.run_id !== first && ++moved === ENOUGH) {
      console.log(`followed to port ${server.tcp_port}: ${count} writes, longest pause ${Math.round(longest)} ms`);
      close(client);
      return 0;
    }
    await pause(PERIOD);
  }
  console.log(`did not follow in ${DEADLINE / 1000} s: ${count} writes`);
  return 1;
}

main().then((status) => process.exit(status));
