# One agent for a developer's machine. It forgets everything when it ends.
#
#   consul agent -dev -config-file consul/agent/development.hcl -config-file consul/agent/dns.hcl

bind_addr   = "127.0.0.1"
client_addr = "127.0.0.1"
log_level   = "warn"
