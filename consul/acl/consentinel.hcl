# What a consentinel daemon may do, and no more.
#
#   consul acl policy create -name consentinel -rules @consul/acl/consentinel.hcl
#   consul acl token create -description consentinel -policy-name consentinel
#
# `consentinel consul check` tries every one of these rights without leaving a trace, and says which is missing.

# The records, the histories and the locks: `sentinel consul kv-prefix`.
key_prefix "consentinel/" {
  policy = "write"
}

# The nodes that carry the entries, one for each master that is watched: consentinel-<master>.
node_prefix "consentinel-" {
  policy = "write"
}

# To see what DNS shows: entries of others under the names of our services, on whatever node they stand. Without it they are
# hidden from the daemon, and nobody is told that DNS answers two masters.
node_prefix "" {
  policy = "read"
}

# The services, as the configuration names them (`sentinel consul-service`, `sentinel consul service-template`), those of
# the replicas, and redis-sentinel, the daemon itself on the agent beside it. With "redis-{master}" as template:
# service_prefix "redis-". It must be a rule for a prefix: Consul shows the services of a node by their IDs, and those
# begin with the name of the service. Where services are called otherwise, each needs such a rule, and redis-sentinel
# another.
service_prefix "redis" {
  policy = "write"
}

# Only with `sentinel consul on-publishers-lost critical`: what the daemon leaves with its agent for the case of its end.
service "consentinel-will" {
  policy = "write"
}

# The lock belongs to a session, and the session to the node of the agent beside the daemon. To allow only that one:
# session "<name of the agent's node>" { policy = "write" }
session_prefix "" {
  policy = "write"
}
