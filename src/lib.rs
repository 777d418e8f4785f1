//! The daemon's rooms.
mod driver;
