//! The daemon's rooms.
