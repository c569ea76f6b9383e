//! What a server says of itself: its answers to `INFO` and `CONFIG GET`, and where to find something in them. Values only.

use std::collections::BTreeMap;

use crate::endpoint::said;

/// The settings that are asked for.
pub(crate) const SETTINGS: [&str; 6] = [
    "appendfsync",
    "no-appendfsync-on-rewrite",
    "save",
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "stop-writes-on-bgsave-error",
];

/// A server's own words.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    info: String,
    /// `None` where it does not tell: `CONFIG` is not among what a node needs, and some who run servers forbid it.
    settings: Option<BTreeMap<String, String>>,
}

impl About {
    pub(crate) fn new(info: String, settings: Option<BTreeMap<String, String>>) -> Self {
        Self { info, settings }
    }

    pub(crate) fn info(&self) -> &str {
        &self.info
    }

    /// A value of `INFO`; empty where there is none.
    pub(crate) fn said(&self, name: &str) -> &str {
        said(&self.info, name).unwrap_or_default()
    }

    /// A number of `INFO`; 0 where there is none.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.said(name).parse().unwrap_or_default()
    }

    /// A setting, where the server tells.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.as_ref()?.get(name).map(String::as_str)
    }

    /// What it calls itself, and its version.
    pub(crate) fn product(&self) -> String {
        match said(&self.info, "valkey_version") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", said(&self.info, "redis_version").unwrap_or("of unknown version")),
        }
    }

    pub(crate) fn is_replica(&self) -> bool {
        self.said("role") == "slave"
    }

    pub(crate) fn is_loading(&self) -> bool {
        self.number("loading") == 1
    }

    /// Its replicas: where they are and in what state.
    pub(crate) fn replicas(&self) -> Vec<Replica> {
        let lines = self.info.lines().filter_map(|line| line.strip_prefix("slave")?.split_once(':'));
        lines
            .filter(|(number, _)| number.parse::<u32>().is_ok())
            .map(|(_, words)| Replica::of(words))
            .collect()
    }
}

/// A replica, as its master sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) state: String,
}

impl Replica {
    /// `ip=10.0.0.2,port=6379,state=online,offset=14,lag=1`
    fn of(words: &str) -> Self {
        let word = |name: &str| {
            let pairs = words.split(',').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find_map(|(own, value)| (own == name).then_some(value)).unwrap_or_default()
        };
        Self { name: format!("{}:{}", word("ip"), word("port")), state: word("state").to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_found_among_other_lines() {
        let info = "role:master\r\nconnected_slaves:1\r\nslave_read_only:1\r\nslave0:ip=::1,port=7,state=online,offset=0,lag=0\r\n";
        let about = About::new(info.into(), None);
        let replica = Replica { name: "::1:7".into(), state: "online".into() };
        assert_eq!((about.replicas(), about.number("connected_slaves")), (vec![replica], 1));
    }

    #[test]
    fn a_valkey_is_called_so() {
        let about = |info: &str| About::new(info.into(), None).product();
        assert_eq!(about("redis_version:7.2.4\r\nvalkey_version:8.1.8\r\n"), "Valkey 8.1.8");
        assert_eq!(about("redis_version:7.0.15\r\n"), "Redis 7.0.15");
        assert_eq!(about(""), "Redis of unknown version");
    }
}
