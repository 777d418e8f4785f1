//! The driver.
mod store;
