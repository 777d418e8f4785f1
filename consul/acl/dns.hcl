# Who asks DNS shows no token. This is what agents may answer then, and what a program needs that only looks.
#
#   consul acl policy create -name redis-dns -rules @consul/acl/dns.hcl
#   consul acl token create -description "DNS" -policy-name redis-dns
#   consul acl set-agent-token default <its SecretID>         on every agent
#
# Or for everybody at once: consul acl token update -id anonymous -policy-name redis-dns

service_prefix "redis" {
  policy = "read"
}

# The names of the nodes that carry the masters and replicas, and the epoch that DNS says with each answer.
node_prefix "consentinel-" {
  policy = "read"
}

# Only for redis-sentinel.service.consul: the sentinels stand on the nodes of their agents.
node_prefix "" {
  policy = "read"
}

# Only for redis.query.consul.
query_prefix "redis" {
  policy = "read"
}
