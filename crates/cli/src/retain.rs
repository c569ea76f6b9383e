//! `--retain`: rules for what channels keep, as they are typed.
//!
//! Invariant: a rule that comes out of here says something, and nothing that overflows.

use std::num::NonZeroUsize;
use std::time::Duration;

use inkwire::RetentionRule;

/// The rules of one option or variable, which may hold several, separated by spaces or semicolons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules(pub(crate) Vec<RetentionRule>);

/// The longest time that may be asked for: more than anybody means, and far from where clocks end.
const LONGEST: Duration = Duration::from_secs(100 * 365 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// Reads `PATTERN=COUNT`, `PATTERN=COUNT,AGE` or `PATTERN=COUNT,AGE,TOMBSTONES`, where each part after `=` may be empty.
pub(crate) fn rules(text: &str) -> Result<Rules, String> {
    let texts = text.split([' ', ';', '\t', '\n', '\r']).filter(|text| !text.is_empty());
    texts
        .map(|text| rule(text).map_err(|why| format!("{text:?}: {why}")))
        .collect::<Result<_, _>>()
        .map(Rules)
}

fn rule(text: &str) -> Result<RetentionRule, String> {
    let expected = "expected PATTERN=COUNT, PATTERN=COUNT,AGE or PATTERN=,AGE, such as log:*=1000,7d";
    let (pattern, kept) = text.split_once('=').ok_or(expected)?;
    check_pattern(pattern)?;
    let mut parts = kept.split(',');
    let mut next = || parts.next().filter(|part| !part.is_empty());
    let (maximum, age, tombstones) = (next(), next(), next());
    if parts.next().is_some() || (maximum, age, tombstones) == (None, None, None) {
        return Err(expected.into());
    }
    Ok(RetentionRule {
        maximum: maximum.map(count).transpose()?,
        age: age.map(time).transpose()?,
        tombstones: tombstones.map(time).transpose()?,
        ..RetentionRule::new(pattern)
    })
}

/// A pattern that no name of a channel can match is a mistake.
fn check_pattern(pattern: &str) -> Result<(), String> {
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || "_.:/-*".contains(c);
    if pattern.is_empty() {
        return Err(
            "the pattern is missing; * stands for any run of characters, * alone for every channel".into()
        );
    }
    if pattern.starts_with('$') {
        return Err(
            "channels whose names begin with $ are the server's own, and it knows what to keep".into()
        );
    }
    match pattern.chars().find(|c| !is_of_names(*c)) {
        Some(other) => Err(format!("{other:?} stands in no channel's name (letters, digits and _.:/- do)")),
        None => Ok(()),
    }
}

fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number of messages: a whole number above zero"))
}

/// Reads a time: a whole number above zero with `s`, `m`, `h`, `d` or `w`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is not a time: a whole number above zero with s, m, h, d or w, such as 7d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => DAY,
        "w" => 7 * DAY,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    let time = Duration::from_secs(number.saturating_mul(seconds));
    if time > LONGEST { Err(format!("{text:?} is more than a hundred years")) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads<const N: usize>(text: &str, expected: [RetentionRule; N]) {
        assert_eq!(rules(text), Ok(Rules(expected.into())), "{text}");
    }

    fn rule(pattern: &str, maximum: usize, age: u64, tombstones: u64) -> RetentionRule {
        let seconds = |seconds| (seconds > 0).then(|| Duration::from_secs(seconds));
        let maximum = NonZeroUsize::new(maximum);
        RetentionRule { maximum, age: seconds(age), tombstones: seconds(tombstones), pattern: pattern.into() }
    }

    #[test]
    fn what_is_typed_is_understood() {
        reads("log:*=1000", [rule("log:*", 1000, 0, 0)]);
        reads("a=5,7d", [rule("a", 5, 7 * DAY, 0)]);
        reads("a/b.c_d-e=,12h", [rule("a/b.c_d-e", 0, 12 * 3600, 0)]);
        reads("*=,,90s", [rule("*", 0, 0, 90)]);
        reads("*=,5m,1w", [rule("*", 0, 300, 7 * DAY)]);
        reads("a=1; b=2\n c=3;", [rule("a", 1, 0, 0), rule("b", 2, 0, 0), rule("c", 3, 0, 0)]);
        reads("  ", []);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (text, hint) in [
            ("log:*", "PATTERN=COUNT"),
            ("log:*=", "PATTERN=COUNT"),
            ("log:*=,", "PATTERN=COUNT"),
            ("log:*=1,1d,1d,1d", "PATTERN=COUNT"),
            ("=5", "pattern is missing"),
            ("$inbox/*=5", "server's own"),
            ("a?=5", "'?'"),
            ("a=0", "above zero"),
            ("a=-1", "above zero"),
            ("a=7d", "number of messages"),
            ("a=,7", "such as 7d"),
            ("a=,d", "such as 7d"),
            ("a=,0d", "such as 7d"),
            ("a=,1.5h", "such as 7d"),
            ("a=,7é", "such as 7d"),
            ("a=,99999999999999999999w", "such as 7d"),
            ("a=,36501d", "hundred years"),
            ("a=,9999999999999999w", "hundred years"),
            ("b=1 a=x", "\"a=x\""),
        ] {
            let said = rules(text).unwrap_err();
            assert!(said.contains(hint), "{text}: {said}");
        }
    }
}
