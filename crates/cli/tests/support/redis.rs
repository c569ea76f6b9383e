//! Real servers of a test's own: those of the tests of the Redis broker.

#[path = "../../../redis/tests/support/mod.rs"]
mod servers;

#[allow(unused_imports, reason = "each test file uses its part")]
pub use servers::{Server, cluster, free_port, watched};
