//! How much of a channel is kept: a pure function of the operator's rules, the channel and what the publisher asks for.

use std::num::NonZeroUsize;

use inkwire_core::{ChannelName, Retention};

use crate::grants::matches;
use crate::options::RetentionRule;

/// Whether a channel's messages have keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Plain,
    Keyed,
}

/// What a channel keeps. The first rule that matches its name decides, and what that leaves open is as without rules;
/// `maxlen` is the publisher's own maximum, and wins over the rule's.
pub(crate) fn retention(
    rules: &[RetentionRule],
    channel: &ChannelName,
    sort: Sort,
    maxlen: Option<usize>,
) -> Retention {
    let default = match sort {
        Sort::Plain => Retention::PLAIN,
        Sort::Keyed => Retention::KEYED,
    };
    let rule = rules.iter().find(|rule| matches(&rule.pattern, channel.as_str()));
    let maximum = rule.and_then(|rule| rule.maximum).map(NonZeroUsize::get);
    Retention {
        maximum: maxlen.or(maximum).unwrap_or(default.maximum),
        age: rule.and_then(|rule| rule.age).or(default.age),
        tombstones: rule.and_then(|rule| rule.tombstones).unwrap_or(default.tombstones),
        ..default
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn kept(name: &str, sort: Sort, maxlen: Option<usize>) -> Retention {
        let rules = [
            RetentionRule { maximum: NonZeroUsize::new(5), ..RetentionRule::new("log:audit") },
            RetentionRule {
                maximum: NonZeroUsize::new(50),
                age: Some(HOUR),
                tombstones: Some(2 * HOUR),
                ..RetentionRule::new("log:*")
            },
        ];
        retention(&rules, &ChannelName::new(name).unwrap(), sort, maxlen)
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        assert_eq!(kept("board:a", Sort::Plain, None), Retention::PLAIN);
        assert_eq!(kept("board:a", Sort::Keyed, None), Retention::KEYED);
        assert_eq!(kept("log:audit", Sort::Plain, None), Retention { maximum: 5, ..Retention::PLAIN });
        let ruled = Retention { maximum: 50, age: Some(HOUR), tombstones: 2 * HOUR, ..Retention::PLAIN };
        assert_eq!(kept("log:a", Sort::Plain, None), ruled);
        assert_eq!(kept("log:a", Sort::Keyed, None), ruled);
    }

    #[test]
    fn a_publishers_own_maximum_wins_over_the_rules() {
        assert_eq!(kept("board:a", Sort::Plain, Some(7)), Retention { maximum: 7, ..Retention::PLAIN });
        let kept = kept("log:a", Sort::Plain, Some(7));
        assert_eq!((kept.maximum, kept.age), (7, Some(HOUR)));
    }
}
