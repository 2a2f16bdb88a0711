//! What a directory needs beside refreshes: one daemon at most, and nothing that a crash or a former configuration has
//! left.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use log::info;

use super::{CLOSED, Keeper, lock};
use crate::clock::Clock;
use crate::output::OutputError;
use crate::output::directory::Directory;
use crate::output::names::file_name;

/// Held by a daemon for life.
const LIFE_LOCK_FILE: &str = "daemon.lock";

impl Keeper<'_> {
    /// Takes the lock of the one daemon of `output_dir`, a directory of that mode; it is released when the file is
    /// closed. Neither another daemon nor a batch is waited for.
    ///
    /// # Errors
    ///
    /// When the directories cannot be used, or another daemon holds the lock.
    pub fn life_lock(clock: &dyn Clock, output_dir: &Path, mode: u32) -> Result<File, OutputError> {
        let top = Directory::open_top(output_dir, mode)?;
        lock(&top.subdirectory("state", CLOSED)?, LIFE_LOCK_FILE, Duration::ZERO, clock)
    }

    /// Brings the directory in line with the configuration without refreshing anything: sweeps what a crash left,
    /// removes what is no longer managed, also from the common files, and brings the status up to date.
    ///
    /// # Errors
    ///
    /// When a file cannot be written or removed.
    pub fn tidy(&self) -> Result<(), OutputError> {
        let entries = self.entries()?;
        for entry in entries.iter().filter(|entry| entry.record.published.is_some()) {
            if let Ok(profile) = &entry.managed.outcome {
                self.profile_directory(profile)?;
            }
        }
        // Only then: what a crash kept from being recorded is in the common files, and is obtained again in a moment.
        if self.remove_unmanaged()? {
            self.write_common_files(&entries)
        } else if self.has_status() {
            self.write_status(&entries)
        } else {
            Ok(())
        }
    }

    /// Files of profiles that left the configuration go away with them; whether there were any. Only profiles of this very configuration
    /// file count: a run with another one must not take down what it does not know.
    pub(super) fn remove_unmanaged(&self) -> Result<bool, OutputError> {
        let path = self.config_path();
        if path.is_empty() || self.state.directory().is_new() {
            return Ok(false);
        }
        let mut removed = false;
        for record in self.state.load_all()? {
            let managed = self.config.profiles().iter().any(|managed| managed.name == record.profile);
            if !managed && record.config == path {
                info!("profile `{}` is no longer managed; its files are removed", record.profile);
                self.profiles.remove_subdirectory(&file_name(&record.profile))?;
                self.forget_copy(&record.profile)?;
                self.state.forget(&record.profile)?;
                removed = true;
            }
        }
        Ok(removed)
    }
}
