//! Publishing: what goes into which file, and how a file is replaced. Knows nothing of AWS calls or schedules.

pub mod directory;
mod error;
pub mod helper;
mod ini_lines;
pub mod merge;
mod mount;
pub mod names;
pub mod place;
pub mod profile_files;
pub mod render;
pub mod shared_file;
pub mod state;
pub mod token_file;

pub use error::{OutputError, Step};
pub use ini_lines::{LineError, LineProblem};
