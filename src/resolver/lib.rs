//! Follows the current Redis master by DNS from Consul.
