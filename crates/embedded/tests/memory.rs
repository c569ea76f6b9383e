//! The memory broker keeps the contract that every broker keeps.

use std::sync::Arc;

use inkwire_embedded::Memory;

inkwire_core::broker_suite!(start_paused = true, Arc::new(Memory::default()));
