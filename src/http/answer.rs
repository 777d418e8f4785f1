//! Answers, with the headers that all of them have.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// An answer.
pub(crate) type Answer = Response<Content>;

/// What comes with an answer.
pub(crate) enum Content {
    /// All of it.
    Whole(Option<Bytes>),
    /// As it comes.
    Pieces(mpsc::Receiver<Bytes>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Pieces(pieces) => {
                pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Content::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Content::Pieces(_) => SizeHint::new(),
        }
    }
}

/// Kinds of content.
pub(super) const JSON: &str = "application/json; charset=utf-8";
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
pub(crate) const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
pub(super) const EVENTS: &str = "text/event-stream";

/// Nothing may be loaded but what we serve ourselves, nothing runs that stands in a page, nobody may frame it, and script
/// cannot make markup of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const EVERYWHERE: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    (header::CACHE_CONTROL, "no-store"),
];

fn with(status: StatusCode, kind: &'static str, content: Content) -> Answer {
    let mut answer = Response::new(content);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in EVERYWHERE {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A good one.
pub(crate) fn good(kind: &'static str, bytes: impl Into<Bytes>) -> Answer {
    with(StatusCode::OK, kind, Content::Whole(Some(bytes.into())))
}

/// One whose content comes as things happen.
pub(super) fn stream(pieces: mpsc::Receiver<Bytes>) -> Answer {
    with(StatusCode::OK, EVENTS, Content::Pieces(pieces))
}

/// Anything as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    with(status, JSON, Content::Whole(Some(to_json(value))))
}

/// A line of JSON.
pub(super) fn to_json(value: &impl Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(value).expect("what we show has text for keys");
    bytes.push(b'\n');
    bytes.into()
}

/// What went wrong, in words.
pub(crate) fn refusal(status: StatusCode, text: &str) -> Answer {
    with(status, TEXT, Content::Whole(Some(format!("{text}\n").into())))
}
