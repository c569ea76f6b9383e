//! Values as they are typed, for more than one verb.

use inkwire_client::From;

/// `0` or an offset.
pub(super) fn after(text: &str) -> Result<From, String> {
    match text.parse() {
        Ok(From::New) | Err(_) => Err("expected 0, or an offset such as 1518951480106-0".into()),
        Ok(place) => Ok(place),
    }
}

/// `$`, `0` or an offset.
pub(super) fn from(text: &str) -> Result<From, String> {
    text.parse().map_err(|_| "expected $ (new ones), 0 (all), or an offset such as 1518951480106-0".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!(after("0"), Ok(From::Beginning));
        assert!(after("$").is_err() && after("x").is_err() && from("$").is_ok() && from("5-0").is_ok());
    }
}
