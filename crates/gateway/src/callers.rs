//! From keys of the database to callers in memory: all of them at the start, one at once when it is written here, and within a
//! second when it is written elsewhere. Decides what a key's owner and plans add to it; requests only look it up.
//! Tests: `it/manage/callers.rs`.

use std::collections::HashMap;
use std::net::IpAddr as _Unused;
use std::sync::Arc;
use std::time::Duration;
