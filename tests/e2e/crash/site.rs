//! Worlds in which a refresh is disturbed, and what has to hold in them: at any instant, and after the next run.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::TEMPORARY;
use crate::host::{NOBODY, plant, set_mode};
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

const NAME: &str = "instancecrossaccount";

/// Sessions shorter than the margin, so that a refresh that fails is not passed over in silence.
const BRIEF: &str = "duration_seconds = 900\n";

/// What names one and the same set of credentials, beside `credentials.json`.
const AGREEING: [&str; 4] = [
    "credentials",
    "profiles/instancecrossaccount/credentials",
    "profiles/instancecrossaccount/env",
    "state/instancecrossaccount.json",
];

/// A file of others, below the world's directory.
const SHARED: &str = "others/credentials";
const OF_OTHERS: &str = "# mine\r\n[mine]\r\naws_access_key_id = AKIAMINE ; keep\r\n\r\n[empty]";
const SHARED_MODE: u32 = 0o640;

/// A world, and what every published file of its profile has to look like.
pub(super) struct Site {
    pub(super) world: World,
    owner: u32,
    mode: u32,
    /// How many profiles the common credentials file holds, once it is there.
    own_profiles: usize,
    /// Whether the file of others holds the profile, too.
    is_merged: bool,
    /// Makes the next run do the call that is tried.
    prepare: fn(&World),
}

impl Site {
    fn new(extra: &str, owner: u32, mode: u32, prepare: fn(&World)) -> Self {
        let world = World::new("");
        let extra = extra.replace("DIR/", &format!("{}/", world.directory.display()));
        let config = format!("{INSTANCE_CROSS_ACCOUNT}{BRIEF}{extra}rolekeeper_mode = 0{mode:o}\n");
        world.write("config", config);
        let shared = world.directory.join(SHARED);
        fs::create_dir(shared.parent().unwrap()).unwrap();
        plant(&shared, OF_OTHERS.as_bytes());
        set_mode(&shared, SHARED_MODE);
        world.run(&["refresh"]).assert_silent_success();
        let own_profiles = usize::from(owner == nix::unistd::geteuid().as_raw());
        Self { world, owner, mode, own_profiles, is_merged: extra.contains(SHARED), prepare }
    }

    pub(super) fn plain() -> Self {
        Self::new("", nix::unistd::geteuid().as_raw(), 0o640, |_| {})
    }

    pub(super) fn given_away() -> Self {
        Self::new("rolekeeper_owner = 65534\n", NOBODY, 0o440, |_| {})
    }

    /// Merged into the file of others.
    pub(super) fn merged() -> Self {
        let extra = format!("rolekeeper_credentials_file = DIR/{SHARED}\n");
        Self::new(&extra, nix::unistd::geteuid().as_raw(), 0o600, |_| {})
    }

    /// With a neighbour that is not refreshed.
    pub(super) fn with_neighbour() -> Self {
        let neighbour = INSTANCE_CROSS_ACCOUNT.replace(NAME, "neighbour");
        let extra = format!("{neighbour}{BRIEF}");
        Self { own_profiles: 2, ..Self::new(&extra, nix::unistd::geteuid().as_raw(), 0o600, |_| {}) }
    }

    /// With something to remove: what a crash left, and a profile that is no longer managed.
    pub(super) fn to_clean_up() -> Self {
        Self::new("", nix::unistd::geteuid().as_raw(), 0o640, |world| {
            let kept = fs::read_to_string(world.directory.join("config")).unwrap();
            let leaving = kept.replace(NAME, "leaving");
            world.write("config", format!("{kept}{leaving}"));
            world.run(&["refresh"]).assert_silent_success();
            world.write("config", kept);
            for directory in ["", "state", "profiles/instancecrossaccount"] {
                plant(
                    &world.out().join(directory).join(format!(".credentials{TEMPORARY}")),
                    b"half a secret",
                );
            }
        })
    }

    /// With nothing published yet.
    pub(super) fn empty() -> Self {
        Self::new("", nix::unistd::geteuid().as_raw(), 0o640, |world| {
            fs::remove_dir_all(world.out()).unwrap();
        })
    }

    /// Runs a forced refresh whose calls of `call` are written down, or changed by `injection`.
    pub(super) fn traced(&self, call: &str, injection: Option<&str>) -> (Output, Vec<String>) {
        (self.prepare)(&self.world);
        let log = self.world.directory.join("strace");
        let described = self.world.command(&["refresh", "--force", NAME]);
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-qq", "-o"]).arg(&log).args(["-e", &format!("trace={call}")]);
        if let Some(injection) = injection {
            command.args(["-e", &format!("inject={call}:{injection}")]);
        }
        command.arg(described.get_program()).args(described.get_args()).env_clear();
        command.envs(described.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.output().unwrap();
        // One profile is refreshed without further threads; those of libraries make none of these calls in our files.
        let lines = fs::read_to_string(&log).unwrap();
        let lines: Vec<String> =
            lines.lines().filter(|line| line.contains(&format!("{call}("))).map(str::to_owned).collect();
        (output, lines)
    }

    /// The calls of `call` by an undisturbed refresh, from 1 on, as far as they concern published files.
    pub(super) fn calls(&self, call: &str) -> Vec<(usize, String)> {
        let (output, lines) = self.traced(call, None);
        assert!(output.status.success(), "{output:?}");
        let numbered = (1..).zip(lines);
        let ours: Vec<_> =
            numbered.filter(|(_, line)| self.places().iter().any(|place| line.contains(place))).collect();
        assert!(!ours.is_empty(), "no call of `{call}` in the output directory");
        ours
    }

    /// The directories that are written to.
    pub(super) fn places(&self) -> [String; 2] {
        let others = self.world.directory.join(SHARED);
        [&self.world.out(), others.parent().unwrap()].map(|place| place.display().to_string())
    }

    /// What has to hold at any instant, for whatever files are there.
    fn assert_whole(&self) {
        let directory = self.world.out().join("profiles").join(NAME);
        let check = |name: &str, is_whole: fn(&str) -> bool| {
            let Some((text, owner, mode)) = read(&directory.join(name)) else { return };
            assert!(is_whole(&text), "{name}: {text}");
            assert_eq!((owner, mode), (self.owner, self.mode), "{name}");
        };
        check("credentials.json", |text| serde_json::from_str::<serde_json::Value>(text).is_ok());
        check("credentials", |text| {
            text.ends_with('\n') && text.matches("\naws_session_token = ").count() == 2
        });
        check("env", |text| {
            text.starts_with("AWS_ACCESS_KEY_ID=") && text.ends_with("AWS_DEFAULT_REGION=us-east-1\n")
        });
        check("config", |text| text.ends_with('\n') && text.matches("\ncredential_process = ").count() == 2);
        if let Some((text, _, mode)) = read(&self.world.out().join("credentials")) {
            assert!(text.starts_with("# Published by rolekeeper") && text.ends_with('\n'), "{text}");
            let sections = text.matches("\n[").count();
            assert_eq!(sections, text.matches("\naws_session_token = ").count(), "{text}");
            // A profile that left is there until it is removed.
            assert!(sections >= self.own_profiles, "{text}");
            assert_eq!(mode, 0o600);
        }
        let (text, owner, mode) = read(&self.world.directory.join(SHARED)).unwrap();
        let ours = text.strip_prefix(OF_OTHERS).unwrap();
        let is_whole = ours.starts_with(&format!("\r\n\r\n[{NAME}]\r\naws_access_key_id = "))
            && ours.contains("\r\naws_session_token = ")
            && ours.ends_with("\r\n");
        assert!(if self.is_merged { is_whole } else { ours.is_empty() }, "{text}");
        assert_eq!((owner, mode), (nix::unistd::geteuid().as_raw(), SHARED_MODE), "{SHARED}");
        if let Some((text, ..)) = read(&self.world.out().join("status.json")) {
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }

    /// Runs a refresh that is not forced, after which everything is there, agrees, and nothing is left over.
    pub(super) fn assert_mended(&self, when: &str) {
        let run = self.world.run(&["refresh"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{when}");
        assert_eq!(self.leftovers(), [""; 0], "{when}");
        assert!(!self.world.out().join("profiles/leaving").exists(), "{when}");
        self.assert_whole();
        let key = self.world.document(NAME)["AccessKeyId"].as_str().unwrap().to_owned();
        // Files that were given away are not compared with what was published, or their owner could cause refreshes
        // at will. Two sets side by side are both valid until the older one is due, when all files are replaced.
        let is_own = self.owner == nix::unistd::geteuid().as_raw();
        let files: &[&str] = if is_own { &AGREEING } else { &[] };
        for file in files {
            assert!(self.world.published(file).contains(&key), "{when}: {file} is of another set");
        }
        let shared = fs::read_to_string(self.world.directory.join(SHARED)).unwrap();
        assert_eq!(shared.contains(&key), self.is_merged, "{when}: {SHARED} is of another set");
    }

    pub(super) fn leftovers(&self) -> Vec<String> {
        let others = fs::read_dir(self.world.directory.join(SHARED).parent().unwrap()).unwrap();
        let others = others.map(|entry| entry.unwrap().path());
        let paths = self.world.snapshot().into_iter().map(|(path, _)| path).chain(others);
        paths.map(|path| path.display().to_string()).filter(|path| path.ends_with(TEMPORARY)).collect()
    }

    /// Does `work` while a reader looks at everything again and again, from before it begins until after it has ended,
    /// however the machine shares out its time.
    pub(super) fn watched(&self, work: impl FnOnce()) {
        let (begun, done) = (Barrier::new(2), AtomicBool::new(false));
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                begun.wait();
                let mut is_last = false;
                while !is_last {
                    is_last = done.load(Ordering::Relaxed);
                    self.assert_whole();
                    // Leaves the processor to the other side now and then.
                    thread::yield_now();
                }
            });
            begun.wait();
            // Also where `work` panics, the reader has to end.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            done.store(true, Ordering::Relaxed);
            reader.join().unwrap();
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        });
    }
}

/// Content, owner and mode of one open file; `None` where there is none.
fn read(path: &Path) -> Option<(String, u32, u32)> {
    let mut file = File::open(path).ok()?;
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    let metadata = file.metadata().unwrap();
    Some((text, metadata.uid(), metadata.mode() & 0o7777))
}
