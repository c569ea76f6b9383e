//! Which part of a cluster has a channel. Values only.

use inkwire_core::ChannelName;
use redis::Value;

/// How many slots a cluster has, by its specification.
pub(crate) const SLOTS: u16 = 16_384;

/// The slots of one node, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) first: u16,
    pub(crate) last: u16,
    /// Empty where the node does not know by what name it is reached: the one that was used to ask.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The slot of a channel: its name is the hash tag of all its keys.
pub(crate) fn slot(channel: &ChannelName) -> u16 {
    crc16(channel.as_str().as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as the cluster's specification asks.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// Reads the answer to `CLUSTER SLOTS`; `None` when it is none.
pub(crate) fn shares(value: &Value) -> Option<Vec<Share>> {
    let Value::Array(shares) = value else { return None };
    shares.iter().map(share).collect()
}

fn share(value: &Value) -> Option<Share> {
    let Value::Array(parts) = value else { return None };
    // What follows the first node are its replicas.
    let [Value::Int(first), Value::Int(last), Value::Array(node), ..] = parts.as_slice() else { return None };
    let [host, Value::Int(port), ..] = node.as_slice() else { return None };
    let host = match host {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok()?,
        Value::Nil => String::new(),
        _ => return None,
    };
    let number = |number: &i64| u16::try_from(*number).ok();
    Some(Share { first: number(first)?, last: number(last)?, host, port: number(port)? })
}

/// For each slot the number of a server, where it is known.
#[derive(Debug)]
pub(crate) struct Slots(Vec<Option<usize>>);

impl Slots {
    /// Nothing is known.
    pub(crate) fn unknown() -> Self {
        Self(vec![None; usize::from(SLOTS)])
    }

    /// Slots from one to another belong to a server.
    pub(crate) fn give(&mut self, share: &Share, server: usize) {
        let slots = usize::from(share.first)..=usize::from(share.last);
        self.0.get_mut(slots).into_iter().flatten().for_each(|slot| *slot = Some(server));
    }

    /// The number of the server that has a channel.
    pub(crate) fn place(&self, channel: &ChannelName) -> Option<usize> {
        self.0.get(usize::from(slot(channel))).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot(&ChannelName::new("foo").unwrap()), 12_182);
    }

    #[test]
    fn what_a_node_says() {
        let bulk = |text: &str| Value::BulkString(text.into());
        let node = |host, port| Value::Array(vec![host, Value::Int(port), bulk("id")]);
        let part = |first, last, host, port| {
            Value::Array(vec![
                Value::Int(first),
                Value::Int(last),
                node(host, port),
                node(bulk("replica"), 9),
            ])
        };
        let said = Value::Array(vec![part(0, 8_191, bulk("a"), 7), part(8_192, 16_383, Value::Nil, 8)]);
        let shares = shares(&said).unwrap();
        let share = |first, last, host: &str, port| Share { first, last, host: host.into(), port };
        assert_eq!(shares, [share(0, 8_191, "a", 7), share(8_192, 16_383, "", 8)]);
        let mut slots = Slots::unknown();
        let name = ChannelName::new("foo").unwrap();
        assert_eq!(slots.place(&name), None);
        shares.iter().zip(0..).for_each(|(share, server)| slots.give(share, server));
        assert_eq!(slots.place(&name), Some(1));
        for odd in [Value::Nil, Value::Array(vec![Value::Nil]), Value::Array(vec![part(0, -1, bulk("a"), 7)])]
        {
            assert_eq!(super::shares(&odd), None);
        }
    }
}
