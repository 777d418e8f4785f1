//! Real daemons and real Redis servers, on this machine, in real disasters.

mod e2e {
    mod failover;
}
