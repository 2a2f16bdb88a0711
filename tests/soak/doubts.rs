//! What the readers and visitors have to complain of.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many complaints of one kind are shown whole.
const SHOWN: usize = 5;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doubt {
    /// A file that is not whole, or that has gone.
    Torn,
    /// Credentials that are not this profile's, or do not belong together; another mode or owner.
    Wrong,
    /// Credentials that have expired though there was time enough to replace them.
    Stale,
    /// A command beside the daemon that ended as it should not.
    Command,
    /// What is left that should be gone, or gone that should be left.
    Leaked,
}

/// All complaints, and how much was looked at.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    found: Mutex<BTreeMap<Doubt, Vec<String>>>,
    pub(crate) reads: AtomicU64,
    pub(crate) commands: AtomicU64,
}

impl Doubts {
    pub(crate) fn say(&self, doubt: Doubt, what: String) {
        self.found.lock().unwrap().entry(doubt).or_default().push(what);
    }

    pub(crate) fn count(&self, doubt: Doubt) -> usize {
        self.found.lock().unwrap().get(&doubt).map_or(0, Vec::len)
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// The first of each kind.
    pub(crate) fn examples(&self) -> Vec<String> {
        let found = self.found.lock().unwrap();
        let line = |doubt: &Doubt, what: &String| format!("{doubt:?}: {what}");
        found
            .iter()
            .flat_map(|(doubt, all)| all.iter().take(SHOWN).map(move |what| line(doubt, what)))
            .collect()
    }
}
