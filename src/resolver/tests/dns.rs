//! The resolver and a name server of ours that does whatever it is told to, on loopback.

mod dns {
    mod cancelled;
    mod hostile;
    mod lookups;
    mod million;
    mod name_server;
    mod stale;
    mod watched;
}
