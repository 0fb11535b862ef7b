//! Whole bodies of requests, within limits of size and time: of each, and of all that are on their way.

use super::{error::ApiError, state::Service};
use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use http_body_util::BodyExt;
use std::ops::Deref;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

/// Bytes of a body that is too long which are still read, so that a client that only listens when it has sent everything hears the 413.
const PATIENCE: usize = 64 << 20;
/// The first bytes of a body, which need no room of [`Settings::body_bytes`](super::Settings::body_bytes): large bodies keep no post waiting.
const FREE: usize = 64 << 10;

/// A body, and the room that it takes.
pub(super) struct Whole {
    bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Whole {
    /// Keeps these as well, if there is room.
    fn add(&mut self, data: &[u8], service: &Service) -> Result<(), ApiError> {
        let paid = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let owed = (self.bytes.len() + data.len()).saturating_sub(FREE + paid);
        if owed > 0 {
            let owed = u32::try_from(owed).unwrap_or(u32::MAX);
            let room = service.bodies.clone().try_acquire_many_owned(owed).map_err(|_| {
                ApiError::Busy("too many large bodies are on their way; send smaller ones, or try again in a moment".into())
            })?;
            match &mut self.room {
                Some(have) => have.merge(room),
                have => *have = Some(room),
            }
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

/// Refuses a compressed body by name: as JSON it would only be "not valid".
pub(super) fn uncompressed(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(header::CONTENT_ENCODING).map(|v| String::from_utf8_lossy(v.as_bytes())) {
        Some(coding) if !coding.eq_ignore_ascii_case("identity") => {
            Err(ApiError::Malformed(format!("the body is sent with content-encoding `{coding}`; send it uncompressed")))
        }
        _ => Ok(()),
    }
}

/// A whole body, within the limits of size and time.
pub(super) async fn read(service: &Service, headers: &HeaderMap, body: Body) -> Result<Whole, ApiError> {
    uncompressed(headers)?;
    let times = service.settings.timeouts;
    let whole = timeout(times.body, collect(service, headers, body)).await;
    whole.unwrap_or_else(|_| Err(ApiError::Timeout(format!("the body did not arrive within {:?}", times.body))))
}

async fn collect(service: &Service, headers: &HeaderMap, mut body: Body) -> Result<Whole, ApiError> {
    let (most, patience) = (service.settings.max_body, service.settings.timeouts.chunk);
    let too_large = || ApiError::TooLarge(format!("the body is longer than {most} bytes; send it in parts, or as lines to /v1/stream"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok()).unwrap_or(0);
    let asks_first = headers.contains_key(header::EXPECT);
    if announced > most && (asks_first || announced > PATIENCE) {
        return Err(too_large());
    }
    let (mut kept, mut seen) = (Whole { bytes: Vec::with_capacity(announced.min(FREE)), room: None }, 0_usize);
    loop {
        let frame = timeout(patience, body.frame()).await;
        let frame = frame.map_err(|_| ApiError::Timeout(format!("no part of the body arrived for {patience:?}")))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|e| ApiError::Malformed(format!("the body ended early: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        seen += data.len();
        match seen {
            _ if seen > PATIENCE.max(most) => return Err(too_large()),
            _ if seen > most => kept = Whole { bytes: Vec::new(), room: None },
            _ => kept.add(&data, service)?,
        }
    }
    if seen > most { Err(too_large()) } else { Ok(kept) }
}
