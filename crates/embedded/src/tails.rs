//! Who listens to which channel, for every store of this crate: a channel may pass from one to another, and its
//! listeners stay.
//!
//! Invariant: whoever announces does so in the order of the channel's offsets, and only what readers can already see.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inkwire_core::{ChannelName, Message, Tail, TailSender};

/// Below this many channels nobody looks for listeners that have gone.
const SWEEP_MINIMUM: usize = 64;

/// The open tails of all channels.
#[derive(Debug, Default)]
pub(crate) struct Tails(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    by_channel: HashMap<ChannelName, Vec<TailSender>>,
    sweep_at: usize,
}

impl Tails {
    /// A new tail of a channel, from now on.
    pub(crate) fn open(&self, channel: &ChannelName) -> Tail {
        let (sender, tail) = Tail::new();
        let mut open = self.lock();
        open.sweep();
        let senders = open.by_channel.entry(channel.clone()).or_default();
        senders.retain(|sender| !sender.is_closed());
        senders.push(sender);
        tail
    }

    /// Tells the listeners of a channel.
    pub(crate) fn announce(&self, channel: &ChannelName, message: &Arc<Message>) {
        self.lock().announce(channel, message);
    }

    /// Tells the listeners of many channels, in the order given.
    pub(crate) fn announce_all<'a>(
        &self,
        messages: impl IntoIterator<Item = (&'a ChannelName, &'a Arc<Message>)>,
    ) {
        let mut open = self.lock();
        for (channel, message) in messages {
            open.announce(channel, message);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn announce(&mut self, channel: &ChannelName, message: &Arc<Message>) {
        let Some(senders) = self.by_channel.get_mut(channel) else { return };
        senders.retain(|sender| sender.send(message).is_ok());
        if senders.is_empty() {
            self.by_channel.remove(channel);
        }
    }

    /// Sweeping when the number has doubled costs each opening a constant.
    fn sweep(&mut self) {
        if self.by_channel.len() < self.sweep_at.max(SWEEP_MINIMUM) {
            return;
        }
        self.by_channel.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        self.sweep_at = self.by_channel.len() * 2;
    }
}
