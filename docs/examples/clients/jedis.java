// Jedis by Sentinel. NOT RUN by the project's tests: no Jedis can be had where they run.
//
// JedisSentinelPool subscribes to +switch-master at every sentinel. Connections that are borrowed while the master changes are thrown away when
// they are given back, so a worker must not keep one.

import java.util.Set;
import org.apache.commons.pool2.impl.GenericObjectPoolConfig;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisSentinelPool;
import redis.clients.jedis.exceptions.JedisException;

class Example {
    public static void main(String[] args) throws InterruptedException {
        Set<String> sentinels = Set.of("10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379");
        var config = new GenericObjectPoolConfig<Jedis>();
        // A connection to an old master is found out before it is used.
        config.setTestOnBorrow(true);
        // Milliseconds to connect, and for an answer: without them a master that stands still holds a worker.
        int timeout = 1000;
        try (var pool = new JedisSentinelPool("mymaster", sentinels, config, timeout, System.getenv("REDIS_PASSWORD"))) {
            for (int count = 1;; Thread.sleep(10)) {
                try (var master = pool.getResource()) {
                    master.set("example", String.valueOf(count++));
                } catch (JedisException error) {
                    // JedisDataException with READONLY, too: look again.
                    System.err.println("no write: " + error.getMessage());
                }
            }
        }
    }
}
