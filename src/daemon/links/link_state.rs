//! What the driver shares with the task of a connection.

use super::pace::Slot;
use crate::daemon::calls::Awaited;
use crate::net::bell::Bell;
use bytes::BytesMut;
use consentinel_core::{CallId, LinkId, LinkKind};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// One connection.
pub(crate) struct LinkState {
    pub(super) link: LinkId,
    pub(super) to: SocketAddr,
    pub(super) kind: LinkKind,
    pub(super) bell: Bell,
    /// Whether it is among those that wait.
    pub(super) waits: Cell<bool>,
    /// Its part in what is sent to everybody.
    pub(super) slot: Slot,
    pub(super) queue: RefCell<Queue>,
    pub(super) renames: Arc<BTreeMap<String, String>>,
    /// Our own address on it, once it stands.
    pub(super) local: Cell<Option<IpAddr>>,
    pub(super) sharing: Cell<Sharing>,
    /// The subscription that travels on it, or waits to be told whether it may.
    pub(super) guest: Cell<Option<LinkId>>,
}

/// Whether a subscription may share a connection with commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// The server has not been asked yet, or has not answered.
    Unknown,
    /// It speaks RESP3.
    Possible,
    /// It does not, or somebody was not content.
    Refused,
}

/// What is under way on a connection.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) output: BytesMut,
    pub(super) expected: VecDeque<Expected>,
}

/// What is to come, in this order.
pub(super) enum Expected {
    /// The reply to a call.
    Reply(LinkId, CallId, Awaited),
    /// That the guest's subscription stands, as a push; or the error that denies it, as a reply.
    Subscribed(LinkId, CallId),
    /// That it has ended, as a push.
    Unsubscribed,
    /// Whether the server speaks RESP3.
    Hello,
}

impl LinkState {
    pub(super) fn new(
        link: LinkId,
        to: SocketAddr,
        kind: LinkKind,
        renames: Arc<BTreeMap<String, String>>,
    ) -> Self {
        LinkState {
            link,
            to,
            kind,
            bell: Bell::default(),
            waits: Cell::new(false),
            slot: Slot::default(),
            queue: RefCell::default(),
            renames,
            local: Cell::new(None),
            sharing: Cell::new(Sharing::Unknown),
            guest: Cell::new(None),
        }
    }
}
