# How Consul's DNS answers, for every agent that is asked: servers and clients alike.
# Copy to /etc/consul.d/. What is said here once more though it is the default is said because everything depends on it.

dns_config {
  # An answer is never kept: the next question after a failover is answered with the new master.
  node_ttl = "0s"

  service_ttl {
    "*" = "0s"
  }

  # Nor is the answer that there is nobody, while no master is in charge.
  soa {
    min_ttl = 0
  }

  # Every question is answered by the servers' leader, so that an answer is never older than one before. While they elect
  # another leader, for a second or three, questions wait for it; without a majority of servers nobody is named.
  #
  # The default, true, lets any server answer from what it knows. It is a tenth of a second behind the leader, and one
  # that was just restarted may name masters of the past for a moment. Where DNS should rather name an old master than
  # none while there is no majority, say true, and for how long with max_stale, whose default is ten years.
  allow_stale = false

  # Replicas that lag behind ("warning") are answered, with less weight.
  only_passing = false

  # The default, 3, is how many replicas one answer over UDP names, others each time.
  udp_answer_limit = 8
  enable_truncate  = true
}
