//! Tokens: JWT with HS256. The rules are the protocol's ("Access"); the algorithm is pinned and the leeway is 5 s.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use inkwire_protocol::access::Grant;
use inkwire_protocol::{PeerId, User, Username};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

/// How long a token from `POST /access` is valid.
pub const VALIDITY: Duration = Duration::from_secs(3600);
/// How far clocks may differ.
const LEEWAY: Duration = Duration::from_secs(5);
/// Fewer bytes than a SHA-256 digest would make the secret the weakest part of the signature (RFC 7518, 3.2).
const SHORTEST_SECRET: usize = 32;

/// What signs tokens: at least 32 bytes. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(Box<[u8]>);

/// A secret that is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "TOKEN_SECRET has {0} bytes; it needs at least {SHORTEST_SECRET}. `openssl rand -hex 32` makes a good one"
)]
pub struct SecretTooShort(usize);

impl TokenSecret {
    /// Takes the bytes of a secret.
    ///
    /// # Errors
    /// [`SecretTooShort`] for fewer than 32 bytes.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, SecretTooShort> {
        let secret = secret.as_ref();
        if secret.len() < SHORTEST_SECRET {
            Err(SecretTooShort(secret.len()))
        } else {
            Ok(Self(secret.into()))
        }
    }
}

impl TokenSecret {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

/// What a valid token says.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Who.
    pub user: User,
    /// What for.
    pub grants: Vec<Grant>,
    /// Until when, leeway included.
    pub expires: SystemTime,
    /// Whether the token is one of `POST /access`, which may be renewed there.
    pub anonymous: bool,
}

/// Makes and checks tokens.
#[derive(Clone)]
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

/// Where a token of [`Tokens::for_anybody`] comes from, as its claim `via` says.
const VIA_ACCESS: &str = "access";

#[derive(Serialize)]
struct Minted<'a> {
    #[serde(flatten)]
    user: &'a User,
    exp: u64,
    channels: &'a [Grant],
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'static str>,
}

#[derive(Deserialize)]
struct Claims {
    id: PeerId,
    username: Option<Username>,
    // A NumericDate may have a fraction (RFC 7519, 2).
    exp: f64,
    #[serde(default)]
    channels: Vec<Grant>,
    #[serde(default)]
    via: Option<String>,
}

/// A token that is not valid: forged, expired, of another algorithm, or without an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid: {0}")]
pub struct InvalidToken(String);

impl Tokens {
    /// Makes and checks tokens with a secret.
    pub fn new(secret: &TokenSecret) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        // The protocol has no audiences: whoever holds the secret speaks to this server.
        validation.validate_aud = false;
        Self {
            encoding: EncodingKey::from_secret(&secret.0),
            decoding: DecodingKey::from_secret(&secret.0),
            validation,
        }
    }

    /// A token for somebody, with grants.
    pub fn mint(&self, user: &User, grants: &[Grant], validity: Duration) -> String {
        self.sign(&Minted { user, exp: expiry(validity), channels: grants, via: None })
    }

    /// A token as `POST /access` gives it: an hour, and only that route renews it.
    pub(crate) fn for_anybody(&self, user: &User, grants: &[Grant]) -> String {
        self.sign(&Minted { user, exp: expiry(VALIDITY), channels: grants, via: Some(VIA_ACCESS) })
    }

    fn sign(&self, claims: &Minted<'_>) -> String {
        encode(&Header::new(Algorithm::HS256), claims, &self.encoding).expect("claims are texts and numbers")
    }

    /// Reads a token.
    ///
    /// # Errors
    /// [`InvalidToken`] with the reason, which never contains the token.
    pub fn verify(&self, token: &str) -> Result<Identity, InvalidToken> {
        let claims = decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|error| InvalidToken(error.to_string()))?
            .claims;
        let username = match claims.username {
            Some(username) => username,
            None => username_of(&claims.id)?,
        };
        let expires =
            Duration::try_from_secs_f64(claims.exp).ok().and_then(|exp| UNIX_EPOCH.checked_add(exp + LEEWAY));
        Ok(Identity {
            user: User { id: claims.id, username },
            grants: claims.channels,
            expires: expires.ok_or_else(|| InvalidToken("exp is out of range".into()))?,
            anonymous: claims.via.as_deref() == Some(VIA_ACCESS),
        })
    }
}

/// Who has no name is called by the id.
fn username_of(id: &PeerId) -> Result<Username, InvalidToken> {
    let short: String = id.as_str().chars().take(64).collect();
    Username::new(short).map_err(|error| InvalidToken(error.to_string()))
}

fn expiry(validity: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_add(validity).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use inkwire_protocol::access::Action;
    use serde_json::{Value, json};

    const SECRET: &str = "a secret of thirty-two bytes or more";

    fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    fn check(claims: &Value, valid: bool) {
        let tokens = Tokens::new(&TokenSecret::new(SECRET).unwrap());
        let outcome = tokens.verify(&signed(Algorithm::HS256, SECRET, claims));
        assert_eq!(outcome.is_ok(), valid, "{claims}: {outcome:?}");
    }

    #[test]
    fn claims() {
        let later = expiry(Duration::from_secs(60));
        let now = expiry(Duration::ZERO);
        check(&json!({ "id": "p", "username": "ann", "exp": later }), true);
        check(&json!({ "id": "p", "username": "ann", "exp": later as f64 + 0.5 }), true);
        check(&json!({ "id": "p", "exp": later }), true);
        check(&json!({ "id": "p", "username": "ann", "exp": now - 2 }), true);
        check(&json!({ "id": "p", "username": "ann", "exp": now - 7 }), false);
        check(&json!({ "id": "p", "username": "ann", "exp": later, "nbf": later }), false);
        check(&json!({ "id": "p", "username": "ann", "exp": later, "aud": "others" }), true);
        check(&json!({ "username": "ann", "exp": later }), false);
        check(&json!({ "id": "p", "username": "ann" }), false);
        check(&json!({ "id": "p\r\nevent: x", "username": "ann", "exp": later }), false);
        check(&json!({ "id": "p", "username": "a\nb", "exp": later }), false);
        check(&json!({ "id": "p", "exp": later, "channels": "all" }), false);
        check(
            &json!({ "id": "p", "exp": later, "channels": [{ "match": "a*", "can": ["subscribe"] }] }),
            true,
        );
        check(&json!({ "id": "p", "exp": 1e300 }), false);
    }

    #[test]
    fn other_secrets_and_algorithms_are_refused() {
        let tokens = Tokens::new(&TokenSecret::new(SECRET).unwrap());
        let claims = json!({ "id": "p", "username": "ann", "exp": expiry(Duration::from_secs(60)) });
        assert!(
            tokens.verify(&signed(Algorithm::HS256, "another secret of thirty-two bytes", &claims)).is_err()
        );
        assert!(tokens.verify(&signed(Algorithm::HS512, SECRET, &claims)).is_err());
        // {"alg":"none","typ":"JWT"} and the claims, unsigned.
        let token = signed(Algorithm::HS256, SECRET, &claims);
        let payload = token.split('.').nth(1).unwrap();
        assert!(tokens.verify(&format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.")).is_err());
        for garbage in ["", ".", "..", "a.b.c", "é"] {
            assert!(tokens.verify(garbage).is_err(), "{garbage}");
        }
    }

    #[test]
    fn what_is_minted_is_valid_and_says_so() {
        let tokens = Tokens::new(&TokenSecret::new(SECRET).unwrap());
        let user = User { id: PeerId::new("p1").unwrap(), username: Username::new("ann").unwrap() };
        let boards = Grant { pattern: "board:*".into(), can: vec![Action::Subscribe] };
        let identity = tokens.verify(&tokens.for_anybody(&user, std::slice::from_ref(&boards))).unwrap();
        assert_eq!((identity.user.clone(), identity.anonymous), (user.clone(), true));
        assert_eq!(identity.grants, [boards]);
        let identity = tokens.verify(&tokens.mint(&user, &[], Duration::from_secs(60))).unwrap();
        assert_eq!((identity.grants.len(), identity.anonymous), (0, false));
    }

    #[test]
    fn short_secrets_are_refused_and_none_is_printed() {
        assert!(TokenSecret::new("short").is_err());
        assert_eq!(format!("{:?}", TokenSecret::new(SECRET).unwrap()), "TokenSecret(…)");
    }
}
