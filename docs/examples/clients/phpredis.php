<?php
// phpredis (5.3 or later) by Sentinel: it can ask sentinels, but does not follow by itself. master() is all there is to it.
//
//     apt-get install php-cli php-redis
//     SENTINELS=10.0.0.1:26379,10.0.0.2:26379,10.0.0.3:26379 php phpredis.php      # then kill the master
//
// MASTER is the name in sentinel.conf, REDIS_PASSWORD the servers' password.

const TIMEOUT = 1.0; // seconds; without one a master that stands still holds the application
const PERIOD = 10_000; // microseconds between two writes
const DEADLINE = 60; // seconds for the whole try
const ENOUGH = 20; // writes on the new server

/** A connection to the master: the first sentinel that knows one, and a server that says of itself that it is it. */
function master(): Redis
{
    $name = getenv('MASTER') ?: 'mymaster';
    $password = getenv('REDIS_PASSWORD');
    $reasons = [];
    foreach (explode(',', getenv('SENTINELS') ?: '127.0.0.1:26379') as $address) {
        $at = strrpos($address, ':');
        try {
            $sentinel = new RedisSentinel(substr($address, 0, $at), (int) substr($address, $at + 1), TIMEOUT, null, 0, TIMEOUT);
            $found = $sentinel->getMasterAddrByName($name);
            if (!$found) {
                throw new RedisException("it knows no $name");
            }
            $redis = new Redis();
            $redis->connect($found[0], (int) $found[1], TIMEOUT, null, 0, TIMEOUT);
            if ($password !== false) {
                $redis->auth($password);
            }
            // A sentinel may be behind.
            if ($redis->rawCommand('ROLE')[0] !== 'master') {
                throw new RedisException("$found[0]:$found[1] is no master");
            }
            return $redis;
        } catch (RedisException $error) {
            $reasons[] = "$address: {$error->getMessage()}";
        }
    }
    throw new RedisException('no master. ' . implode('; ', $reasons));
}

$redis = $first = $last = $complaint = null;
$count = $moved = 0;
$longest = 0.0;
$end = microtime(true) + DEADLINE;
while (microtime(true) < $end) {
    try {
        $redis ??= master();
        // READONLY is an answer, not an exception: a master that was demoted.
        if (!$redis->set('example', $count + 1)) {
            throw new RedisException($redis->getLastError());
        }
        $server = $redis->info('server');
    } catch (RedisException $error) {
        $redis = null;
        if ($error->getMessage() !== $complaint) {
            $complaint = $error->getMessage();
            echo "no write: $complaint\n";
        }
        usleep(PERIOD);
        continue;
    }
    $count++;
    $now = microtime(true);
    $longest = $last === null ? 0.0 : max($longest, $now - $last);
    $last = $now;
    if ($first === null) {
        $first = $server['run_id'];
        echo "writing to port $server[tcp_port]\n";
    }
    if ($server['run_id'] !== $first && ++$moved === ENOUGH) {
        printf("followed to port %s: %d writes, longest pause %.0f ms\n", $server['tcp_port'], $count, $longest * 1000);
        exit(0);
    }
    usleep(PERIOD);
}
echo 'did not follow in ', DEADLINE, " s: $count writes\n";
exit(1);
