//! Names and offsets in JSON: what can be written as a text and read from one, for `#[serde(with = …)]`.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let text = Text::deserialize(deserializer)?;
    text.0.parse().map_err(D::Error::custom)
}

/// A text that is borrowed where it can be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The same where there may be none.
pub(crate) mod option {
    use super::{Deserializer, Display, FromStr, Serializer, Text};
    use serde::Deserialize as _;
    use serde::de::Error as _;

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<Text<'_>>::deserialize(deserializer)?;
        text.map(|text| text.0.parse().map_err(D::Error::custom)).transpose()
    }
}

/// The same for a list.
pub(crate) mod list {
    use super::{Deserializer, Display, FromStr, Serializer, Text};
    use serde::Deserialize as _;
    use serde::de::Error as _;

    pub(crate) fn serialize<T: Display, S: Serializer>(
        values: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let texts = Vec::<Text<'_>>::deserialize(deserializer)?;
        texts.iter().map(|text| text.0.parse().map_err(D::Error::custom)).collect()
    }
}
