//! Why something asked for is not done, in the words of the protocol: the same on the WebSocket and over HTTP.

use inkwire_protocol::{Code, Refused};
use metrics::counter;

use crate::limits::TooMany;
use crate::peers::signalling::Refusal;

impl From<TooMany> for Refused {
    fn from(TooMany(wait): TooMany) -> Self {
        counter!("inkwire_rate_limited_total").increment(1);
        let refused = Self::new(Code::RateLimited, "too many of these by this peer");
        Self { retry_after_ms: Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)), ..refused }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::NoStream | Refusal::TooManyRooms => Code::Conflict,
            Refusal::NoPeer => Code::NotFound,
            Refusal::NoSharedRoom => Code::Forbidden,
            Refusal::Broker(error) => return error.into(),
        };
        Self::new(code, refusal.to_string())
    }
}
