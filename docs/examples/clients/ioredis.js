// ioredis 5 by Sentinel. NOT RUN by the project's tests: no ioredis can be had where they run.
//
// It asks the sentinels whenever it connects, and checks the role of what they name. It keeps what is asked meanwhile, and asks it when
// there is a master again.

const Redis = require("ioredis");

const redis = new Redis({
  name: "mymaster",
  sentinels: [
    { host: "10.0.0.1", port: 26379 },
    { host: "10.0.0.2", port: 26379 },
    { host: "10.0.0.3", port: 26379 },
  ],
  password: process.env.REDIS_PASSWORD,
  // Without them a master that stands still holds the application.
  connectTimeout: 1000,
  commandTimeout: 1000,
  // Connects again at once, not after a second.
  sentinelRetryStrategy: (times) => Math.min(times * 50, 500),
  // A master that became a replica: connect to the next one, and ask again.
  reconnectOnError: (error) => (error.message.startsWith("READONLY") ? 2 : false),
});
redis.on("error", (error) => console.error(error.message));

let count = 1;
setInterval(async () => {
  try {
    await redis.set("example", String(count));
    count += 1;
  } catch (error) {
    console.error("no write:", error.message);
  }
}, 10);
