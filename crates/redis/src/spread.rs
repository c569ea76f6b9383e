//! Which of several independent servers has a channel: the one with the highest hash for it (rendezvous hashing). Every
//! node decides alike without asking, and a server more or less moves only the channels that it gains or loses.

use inkwire_core::ChannelName;

/// How many names are tried for each server, to find one that it has: with shares as even as they are, none is missed.
const MOST_TRIES: usize = 1_000;

/// Servers, by the hashes of their names: their order plays no part.
#[derive(Debug)]
pub(crate) struct Spread(Vec<u64>);

impl Spread {
    pub(crate) fn over<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(|name| hash(name.as_bytes())).collect())
    }

    /// A channel on each server, with names that begin as this one's.
    pub(crate) fn witnesses(&self, channel: &ChannelName) -> Vec<ChannelName> {
        let names = (0..).filter_map(|number: u32| ChannelName::new(format!("{channel}.{number}")).ok());
        let mut found = vec![None; self.0.len()];
        for name in names.take(self.0.len() * MOST_TRIES) {
            if let Some(free) = found.get_mut(self.place(&name)).filter(|found| found.is_none()) {
                *free = Some(name);
            }
            if found.iter().all(Option::is_some) {
                break;
            }
        }
        found.into_iter().flatten().collect()
    }

    /// The number of the server that has a channel.
    pub(crate) fn place(&self, channel: &ChannelName) -> usize {
        let channel = hash(channel.as_str().as_bytes());
        let weights = self.0.iter().map(|server| mixed(server ^ channel)).enumerate();
        weights.max_by_key(|(_, weight)| *weight).map_or(0, |(place, _)| place)
    }
}

/// FNV-1a. Written out here because nodes of different builds must agree on it for ever.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Lets every bit of a number decide about every bit of the result (the finalizer of splitmix64).
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels() -> impl Iterator<Item = ChannelName> {
        (0..6_000).map(|n| ChannelName::new(format!("board:{n}")).unwrap())
    }

    #[test]
    fn each_server_has_a_witness() {
        let spread = Spread::over(["a:6379", "b:6379", "c:6379", "d:6379"]);
        let witnesses = spread.witnesses(&ChannelName::new("$canary/0123").unwrap());
        let places: Vec<_> = witnesses.iter().map(|name| spread.place(name)).collect();
        assert_eq!(places, [0, 1, 2, 3]);
        assert!(witnesses.iter().all(|name| name.as_str().starts_with("$canary/0123.")));
    }

    #[test]
    fn shares_are_even() {
        let spread = Spread::over(["a:6379", "b:6379", "c:6379"]);
        let mut shares = [0; 3];
        channels().for_each(|channel| shares[spread.place(&channel)] += 1);
        assert!(shares.iter().all(|share| (1_800..2_200).contains(share)), "{shares:?}");
    }

    #[test]
    fn a_server_more_takes_its_share_and_moves_nothing_else() {
        let names = ["a:6379", "b:6379", "c:6379"];
        let (before, after) = (Spread::over(names), Spread::over(names.into_iter().chain(["d:6379"])));
        let moved = channels().filter(|channel| before.place(channel) != after.place(channel));
        assert!(moved.inspect(|channel| assert_eq!(after.place(channel), 3)).count() < 1_800);
    }

    #[test]
    fn the_order_of_servers_plays_no_part() {
        let (one, other) = (Spread::over(["a:1", "b:1"]), Spread::over(["b:1", "a:1"]));
        assert!(channels().all(|channel| one.place(&channel) != other.place(&channel)));
    }

    #[test]
    fn places_are_for_ever() {
        // Computed apart from this code: nodes of later builds must agree.
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
