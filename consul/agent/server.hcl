# One of three Consul servers. Copy to /etc/consul.d/ of each, with dns.hcl, and change what is in capitals.

server           = true
bootstrap_expect = 3
data_dir         = "/var/lib/consul"
bind_addr        = "ADDRESS"
retry_join       = ["CONSUL-1", "CONSUL-2", "CONSUL-3"]

# The HTTP API and DNS for this machine only; other machines have agents of their own.
client_addr = "127.0.0.1"

performance {
  # Servers find out within about a second that their leader is gone, not within five. Until they have another one,
  # Consul takes no failover: this is what a failover waits for that happens in the same moment.
  raft_multiplier = 1
}

autopilot {
  # By default a server that is gone is taken out of the cluster as soon as another one is well. Of three servers two are left
  # then, and both must agree: a second partition soon after the first leaves none that leads until it heals. So a server
  # that is gone stays a member; take one away for good by `consul operator raft remove-peer`.
  cleanup_dead_servers = false
}

acl {
  enabled                  = true
  default_policy           = "deny"
  enable_token_persistence = true
}

# Certificates: `consul tls ca create`, `consul tls cert create -server -dc dc1`.
# ca_file                = "/etc/consul.d/tls/consul-agent-ca.pem"
# cert_file              = "/etc/consul.d/tls/dc1-server-consul-0.pem"
# key_file               = "/etc/consul.d/tls/dc1-server-consul-0-key.pem"
# verify_incoming        = true
# verify_outgoing        = true
# verify_server_hostname = true
