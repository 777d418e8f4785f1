# What an agent needs for itself: it keeps up its own entry, and that of the sentinel beside it. Change NODE.
#
#   consul acl policy create -name agent-NODE -rules @consul/acl/agent.hcl
#   consul acl token create -description agent-NODE -policy-name agent-NODE
#   consul acl set-agent-token agent <its SecretID>           on that agent

node "NODE" {
  policy = "write"
}

service_prefix "" {
  policy = "read"
}
