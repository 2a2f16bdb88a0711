//! Where files are published, and where readers look for them.

use std::path::{Path, PathBuf};

use super::OutputError;
use crate::environment::Environment;

/// Where a service that runs as root publishes; readers look here last.
pub const SYSTEM_DIRECTORY: &str = "/run/rolekeeper";

/// The directory to publish in: `--output-dir`, `output_dir` of `[rolekeeper]`, `RUNTIME_DIRECTORY` as systemd
/// sets it, `/run/rolekeeper` for root, `$XDG_RUNTIME_DIR/rolekeeper`. Always absolute, because it is written
/// into the published `config` files.
///
/// # Errors
///
/// When none of them says where.
pub fn to_publish_in(
    option: Option<&Path>,
    setting: Option<&Path>,
    environment: &Environment,
    is_root: bool,
) -> Result<PathBuf, OutputError> {
    let chosen = option.or(setting).map(Path::to_owned).or_else(|| derived(environment, is_root));
    chosen.and_then(|path| std::path::absolute(path).ok()).ok_or(OutputError::NoDirectory)
}

/// The directories that a reader tries, in order. Absolute, because `exec` hands one on to its command.
#[must_use]
pub fn to_read_from(
    option: Option<&Path>,
    setting: Option<&Path>,
    environment: &Environment,
    is_root: bool,
) -> Vec<PathBuf> {
    if let Some(option) = option {
        return vec![absolute(option)];
    }
    let mut places: Vec<PathBuf> = setting.map(absolute).into_iter().collect();
    places.extend(derived(environment, is_root).as_deref().map(absolute));
    places.push(PathBuf::from(SYSTEM_DIRECTORY));
    places.dedup();
    places
}

/// `path` from `/` on; unchanged where the working directory is gone, since then nothing better is known.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn derived(environment: &Environment, is_root: bool) -> Option<PathBuf> {
    // systemd separates several runtime directories by colons; the first is the unit's own.
    let runtime = environment.text("RUNTIME_DIRECTORY").and_then(|list| list.split(':').next());
    if let Some(directory) = runtime.filter(|directory| !directory.is_empty()) {
        return Some(PathBuf::from(directory));
    }
    if is_root {
        return Some(PathBuf::from(SYSTEM_DIRECTORY));
    }
    Some(Path::new(environment.os("XDG_RUNTIME_DIR")?).join("rolekeeper"))
}
