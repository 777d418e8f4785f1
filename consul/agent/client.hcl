# The agent on every other machine: beside each consentinel, and wherever somebody asks for redis.service.consul.
# Copy to /etc/consul.d/, with dns.hcl, and change what is in capitals.

server     = false
data_dir   = "/var/lib/consul"
bind_addr  = "ADDRESS"
retry_join = ["CONSUL-1", "CONSUL-2", "CONSUL-3"]

client_addr = "127.0.0.1"

# The daemon writes seldom, but a burst of requests after an outage should not be throttled by the agent.
limits {
  http_max_conns_per_client = 200
}

acl {
  enabled                  = true
  default_policy           = "deny"
  enable_token_persistence = true

  # With what the agent itself is allowed (acl/agent.hcl), and what it may do for whoever shows no token, as DNS does
  # (acl/dns.hcl). Better set by `consul acl set-agent-token agent|default <secret>` than written here.
  # tokens {
  #   agent   = "SECRET"
  #   default = "SECRET"
  # }
}
