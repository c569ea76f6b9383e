//! Tokens as a client sees them: something to show, and until when. Never printed.

use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::Error;

/// A token is asked for again this long before it expires: time enough to get one and to show it.
const MARGIN: Duration = Duration::from_secs(30);

/// How long to wait before a token is asked for again while the old one is still good.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Where the token comes from.
///
/// ```
/// use inkwire_client::Token;
/// let fixed = Token::fixed("eyJ…");
/// let asked = Token::ask(|| async { Ok("eyJ…".to_owned()) });
/// assert_eq!(format!("{fixed:?} {asked:?}"), "Token::Fixed(…) Token::Ask(…)");
/// ```
#[derive(Clone)]
pub struct Token(Source);

#[derive(Clone)]
enum Source {
    Fixed(Arc<str>),
    Ask(Arc<dyn Fn() -> BoxFuture<'static, Result<String, Error>> + Send + Sync>),
}

impl Token {
    /// One token for the client's whole life. When it expires, the client ends with what the server says then.
    pub fn fixed(token: impl Into<Arc<str>>) -> Self {
        Self(Source::Fixed(token.into()))
    }

    /// A function that gets a token: asked at first, 30 s before one expires, and when the server takes one no
    /// longer. An error that [is final](Error::is_final) ends the client; after another it is asked again.
    pub fn ask<F, T>(ask: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, Error>> + Send + 'static,
    {
        Self(Source::Ask(Arc::new(move || Box::pin(ask()))))
    }

    pub(crate) fn can_be_renewed(&self) -> bool {
        matches!(self.0, Source::Ask(_))
    }

    pub(crate) async fn get(&self) -> Result<Shown, Error> {
        match &self.0 {
            Source::Fixed(token) => Ok(Shown { text: token.to_string(), renew: None }),
            Source::Ask(ask) => {
                let text = ask().await?;
                let usable_for = expiry(&text).map(|expires| usable_for(expires, SystemTime::now()));
                Ok(Shown { text, renew: usable_for.map(|usable| Instant::now() + usable) })
            }
        }
    }

    /// The token that follows one, once there is one. Nobody is told of failures: if there is none in the end, the server
    /// closes the connection, and then it is said why.
    pub(crate) fn after(&self, shown: &Shown) -> BoxFuture<'static, Shown> {
        let (token, renew) = (self.clone(), shown.renew);
        Box::pin(async move {
            match renew {
                Some(renew) => sleep_until(renew).await,
                None => pending().await,
            }
            loop {
                match token.get().await {
                    Ok(shown) => return shown,
                    Err(_) => sleep(ASK_AGAIN).await,
                }
            }
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Fixed(_) => "Token::Fixed(…)",
            Source::Ask(_) => "Token::Ask(…)",
        })
    }
}

/// A token in use.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) text: String,
    /// When another is to be asked for; `None` while the server takes it.
    pub(crate) renew: Option<Instant>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(…)")
    }
}

/// Until [`MARGIN`] before the end; of a short life, the half. Never nothing: the clocks may differ, and a token that
/// seems to be over may be the newest there is.
fn usable_for(expires: SystemTime, now: SystemTime) -> Duration {
    let left = expires.duration_since(now).unwrap_or_default();
    left.saturating_sub(MARGIN).max(left / 2).max(Duration::from_secs(1))
}

/// What the token says of its own end. Not verified: that is the server's part.
fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(exp).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_read_from_the_token() {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"id":"p","exp":1000}"#);
        let text = format!("e30.{claims}.sig");
        let usable =
            |now| usable_for(expiry(&text).unwrap(), UNIX_EPOCH + Duration::from_secs(now)).as_secs();
        assert_eq!([usable(900), usable(960), usable(1_000), usable(2_000)], [70, 20, 1, 1]);
        for opaque in ["", "a.b.c", "a.e30.c", "no token at all"] {
            assert_eq!(expiry(opaque), None, "{opaque}");
        }
    }
}
