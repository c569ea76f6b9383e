//! What things are called. Each type is checked once, where a name enters the program, and is cheap to
//! clone afterwards. The rules are the wire's (`PROTOCOL.md`, "Names").

/// Why a text is not a name: what was expected, in words for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub &'static str);

/// Makes a type of text that is checked once, by a function, and cheap to clone afterwards. For names and ids, here and on
/// the wire.
#[macro_export]
macro_rules! name {
    ($(#[$attribute:meta])* $name:ident, $check:expr) => {
        $(#[$attribute])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(::std::sync::Arc<str>);

        impl $name {
            /// Checks a text.
            ///
            /// # Errors
            /// [`NameError`]($crate::NameError) with the rule that the text breaks.
            pub fn new(text: impl AsRef<str>) -> ::std::result::Result<Self, $crate::NameError> {
                let text = text.as_ref();
                let check: fn(&str) -> ::std::result::Result<(), $crate::NameError> = $check;
                check(text)?;
                Ok(Self(::std::sync::Arc::from(text)))
            }

            /// It as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::NameError;
            fn from_str(text: &str) -> ::std::result::Result<Self, $crate::NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<Box<str>> for $name {
            type Error = $crate::NameError;
            fn try_from(text: Box<str>) -> ::std::result::Result<Self, $crate::NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for Box<str> {
            fn from(name: $name) -> Self {
                Box::from(name.as_str())
            }
        }
    };
}

name! {
    /// The name of a channel: 1–200 of `[A-Za-z0-9_.:/-]`, not only dots. A leading `$` marks the server's own
    /// channels, which clients may not name.
    ///
    /// ```
    /// use inkwire_core::ChannelName;
    /// assert!(ChannelName::new("board:lobby").is_ok());
    /// assert!(ChannelName::new("..").is_err());
    /// assert!(ChannelName::new("$room/lobby").unwrap().is_reserved());
    /// ```
    ChannelName, |text| {
        let rest = text.strip_prefix('$').unwrap_or(text);
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.:/-".contains(&b);
        if rest.is_empty() || text.len() > 200 || !rest.bytes().all(allowed) || rest.bytes().all(|b| b == b'.') {
            return Err(NameError("a channel name is 1 to 200 of A-Z a-z 0-9 _ . : / - and not only dots"));
        }
        Ok(())
    }
}

impl ChannelName {
    /// Whether this is one of the server's own channels.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

name! {
    /// The name of a field: 1–128 characters, not `offset`, not beginning with `@`.
    FieldName, |text| {
        if text.is_empty() || text.chars().count() > 128 {
            return Err(NameError("a field name has 1 to 128 characters"));
        }
        if text == "offset" || text.starts_with('@') {
            return Err(NameError("a field is not called \"offset\" and does not begin with @"));
        }
        Ok(())
    }
}

name! {
    /// What a message in a keyed channel is about: text of 1–256 bytes.
    Key, |text| {
        if text.is_empty() || text.len() > 256 {
            return Err(NameError("a key is a text of 1 to 256 bytes"));
        }
        Ok(())
    }
}

name! {
    /// Which of two messages with one key wins: 1–64 of `[A-Za-z0-9._:-]`; the one that is higher as bytes.
    Version, |text| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(NameError("a version is 1 to 64 of A-Z a-z 0-9 . _ : -"));
        }
        Ok(())
    }
}

name! {
    /// Who publishes, for recognising a repeated publish: text of 1–128 characters.
    ProducerId, |text| {
        if text.is_empty() || text.chars().count() > 128 {
            return Err(NameError("a producer id has 1 to 128 characters"));
        }
        Ok(())
    }
}

name! {
    /// Who publishes, as the server knows it: a token's `id`, 1–128 of `[A-Za-z0-9_.:-]` and not only dots.
    UserId, |text| {
        if !group_word(text) || text.bytes().all(|b| b == b'.') {
            return Err(NameError("an id of a user is 1 to 128 of A-Z a-z 0-9 _ . : - and not only dots"));
        }
        Ok(())
    }
}

fn group_word(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(allowed)
}

name! {
    /// The name of a consumer group of a channel: 1–128 of `[A-Za-z0-9_.:-]`.
    GroupName, |text| {
        if !group_word(text) {
            return Err(NameError("a group name is 1 to 128 of A-Z a-z 0-9 _ . : -"));
        }
        Ok(())
    }
}

name! {
    /// The name of one consumer in its group: 1–128 of `[A-Za-z0-9_.:-]`.
    ConsumerName, |text| {
        if !group_word(text) {
            return Err(NameError("a consumer name is 1 to 128 of A-Z a-z 0-9 _ . : -"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_names() {
        let long = "a".repeat(200);
        for good in ["a", "board:lobby", "$inbox/x", "a..b", "A_z.0:/-", long.as_str()] {
            assert!(ChannelName::new(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(201);
        for bad in ["", "$", ".", "...", "$..", "a b", "é", "a\n", "a$", longer.as_str()] {
            assert!(ChannelName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn field_names_count_characters_not_bytes() {
        assert!(FieldName::new("é".repeat(128)).is_ok());
        assert!(FieldName::new("é".repeat(129)).is_err());
        for bad in ["", "offset", "@key"] {
            assert!(FieldName::new(bad).is_err(), "{bad}");
        }
        assert!(FieldName::new("offsets").is_ok());
    }

    #[test]
    fn keys_count_bytes_and_versions_compare_as_bytes() {
        assert!(Key::new("é".repeat(128)).is_ok());
        assert!(Key::new("é".repeat(129)).is_err());
        assert!(Version::new("2").unwrap() > Version::new("10").unwrap());
        assert!(Version::new("left").unwrap() > Version::new("00000000000000000009").unwrap());
        assert!(Version::new("a b").is_err());
    }

    #[test]
    fn groups_and_consumers() {
        let long = "a".repeat(128);
        for good in ["a", "A_z.0:-", long.as_str()] {
            assert!(GroupName::new(good).is_ok() && ConsumerName::new(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(129);
        for bad in ["", "a b", "a/b", "$", "é", longer.as_str()] {
            assert!(GroupName::new(bad).is_err() && ConsumerName::new(bad).is_err(), "{bad}");
        }
    }
}
