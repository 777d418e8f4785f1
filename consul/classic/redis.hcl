# The classic recipe, for comparison: on every Redis host the local agent registers the server twice, and a script
# decides at intervals which of the two is healthy. It works without any sentinel knowing of Consul:
#
#   dig @127.0.0.1 -p 8600 master.redis.service.consul SRV
#   dig @127.0.0.1 -p 8600 slave.redis.service.consul SRV
#
# What it costs is in docs/performance.md: DNS learns of a failover when the scripts run next, on two hosts that do not
# run them at the same moment. So there are moments with two masters, and moments with none; and a killed master that
# comes back is named as a master for as long as it says that it is one.
#
# Copy this file and redis-role.sh to /etc/consul.d, and allow script checks in the agent's configuration:
# enable_local_script_checks = true.

services {
  id   = "redis-6379-master"
  name = "redis"
  tags = ["master"]
  port = 6379

  checks = [{
    name     = "is master"
    args     = ["/etc/consul.d/redis-role.sh", "6379", "master"]
    interval = "5s"
    timeout  = "2s"
  }]
}

services {
  id   = "redis-6379-slave"
  name = "redis"
  tags = ["slave"]
  port = 6379

  checks = [{
    name     = "is replica"
    args     = ["/etc/consul.d/redis-role.sh", "6379", "slave"]
    interval = "5s"
    timeout  = "2s"
  }]
}
