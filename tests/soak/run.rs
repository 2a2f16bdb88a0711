//! The course of a run: morning, when everything is published; the day, with all its weather; the evening, when
//! sessions are long again and nothing is left to do; and the reckoning.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use fake_aws::Kind;
use serde_json::Value;

use crate::daemon::{Cost, Daemon};
use crate::deeds::{Deed, Fate, timeline};
use crate::doubts::{Doubt, Doubts};
use crate::options::Options;
use crate::reader::Court;
use crate::stage::{Stage, Which};
use crate::table::{Samples, Tally, print};
use crate::watch::{Watch, true_time};
use crate::weather::Weather;

/// Three readers for each file.
const READERS: u64 = 3;
/// How often the daemon is measured.
const SAMPLE: Duration = Duration::from_millis(500);
/// So long after the last trouble everything has to be at rest.
const EVENING: Duration = Duration::from_secs(150);
/// A temporary of this age is nobody's any more: a daemon sweeps when it starts, and in every batch.
const OLD: Duration = Duration::from_secs(60);
/// How the fake begins its session tokens.
const TOKEN: &str = "IQoJb3JpZ2luX2VjE";

/// Runs the soak, and panics where a promise was broken.
pub(crate) fn run() {
    let now = u64::try_from(true_time().unix_timestamp_nanos() & 0xffff_ffff).unwrap();
    let options = Options::from_arguments(std::env::args().skip(1), now);
    println!("soak: --seconds {} --seed {} --profiles {}", options.seconds, options.seed, options.profiles);
    let stage = Stage::new(options.profiles);
    let watch = Watch::start();
    let (weather, doubts) = (Weather::default(), Doubts::default());
    let (steady, victim) = (Daemon::start(&stage, Which::Steady), Daemon::start(&stage, Which::Victim));
    let court = Court { stage: &stage, watch: &watch, weather: &weather, doubts: &doubts };
    let deeds = timeline(&options);
    let samples = Mutex::new(Vec::new());
    let mut fate = Fate::new(&stage, (&steady, &victim), &weather, &watch);
    let (idle, new) = std::thread::scope(|scope| {
        scope.spawn(|| watch.note_stalls());
        (0..READERS).for_each(|number| drop(scope.spawn(move || court.read_on(options.seed ^ number))));
        let visitor = scope.spawn(|| court.visit(options.seed ^ 0x5eed));
        let sampler = scope.spawn(|| sample(&court, &steady, &samples));
        fate.take_its_course(&deeds);
        watch.wait_until(options.time());
        let rest = evening(&stage, &watch, &steady, &victim);
        watch.end();
        drop((visitor.join(), sampler.join()));
        rest
    });
    let hooks = check_hooks(&stage, &doubts);
    let likewise = |path: &String| path.to_lowercase().replace("steady", "victim");
    let descriptors: Vec<String> = idle.descriptors.iter().map(likewise).collect();
    let expected: Vec<String> = new.descriptors.iter().map(likewise).collect();
    if idle.threads != 1 || descriptors != expected || idle.children + new.children != 0 {
        doubts.say(Doubt::Leaked, format!("at rest: {idle:#?}\na new daemon: {new:#?}"));
    }
    check_the_end(&stage, &doubts, &[&steady, &victim]);
    let tally = Tally {
        sessions: stage.fake.counts().requests(Kind::AssumeRole),
        faults: deeds.iter().filter(|(_, deed)| is_fault(deed)).count(),
        kills: fate.kills,
        reloads: fate.reloads,
        hooks,
        stalled: watch.stalled_since(Duration::ZERO),
        idle,
        new,
    };
    let samples = Samples(samples.into_inner().unwrap());
    let is_good = print(&options, &samples, &tally, &doubts);
    assert!(is_good, "see above; files and logs are in {}", stage.directory.display());
    fs::remove_dir_all(&stage.directory).unwrap();
}

fn is_fault(deed: &Deed) -> bool {
    matches!(deed, Deed::Misbehave(..) | Deed::Slow(..) | Deed::Deny(_))
}

/// Measures the daemon, and looks for temporaries that nobody needs any more.
fn sample(court: &Court<'_>, daemon: &Daemon, samples: &Mutex<Vec<(Duration, Cost)>>) {
    while !court.watch.is_over() {
        if !daemon.is_running() {
            court.doubts.say(Doubt::Leaked, format!("the daemon ended at {:?}", court.watch.now()));
            return;
        }
        samples.lock().unwrap().push((court.watch.now(), daemon.cost()));
        for path in temporaries(&court.stage.directory) {
            let age = fs::metadata(&path).ok().and_then(|found| found.modified().ok()?.elapsed().ok());
            if age.is_some_and(|age| age > OLD) {
                court.doubts.say(Doubt::Leaked, format!("{path} is {age:?} old"));
            }
        }
        court.watch.sleep(SAMPLE);
    }
}

/// Lets sessions be long, and waits until nothing is left to do; what both daemons cost then, the second having just
/// been started.
fn evening(stage: &Stage, watch: &Watch, steady: &Daemon, victim: &Daemon) -> (Cost, Cost) {
    stage.fake.sts().session_lifetime(None);
    drop(fs::remove_file(stage.spoiler()));
    let until = watch.now() + EVENING;
    let mut calm = 0;
    while calm < 5 {
        let is_idle = [Which::Steady, Which::Victim].iter().all(|which| is_fresh(stage, *which))
            && [steady, victim].iter().all(|daemon| daemon.cost().threads == 1);
        calm = if is_idle { calm + 1 } else { 0 };
        assert!(watch.now() < until, "it does not come to rest; see {}", stage.directory.display());
        watch.sleep(Duration::from_millis(300));
    }
    victim.kill();
    victim.restart(stage);
    // Until it has had its look around.
    watch.sleep(Duration::from_secs(3));
    (steady.cost(), victim.cost())
}

/// Whether all profiles have sessions that live long, and all their hooks have run.
fn is_fresh(stage: &Stage, which: Which) -> bool {
    let text = fs::read_to_string(stage.out(which).join("status.json")).unwrap_or_default();
    let status: Value = serde_json::from_str(&text).unwrap_or_default();
    let fresh = |name: &str| {
        let profiles = status["profiles"].as_array().into_iter().flatten();
        let entry = profiles.into_iter().find(|entry| entry["profile"] == name);
        entry.is_some_and(|entry| {
            entry["effective_duration_seconds"].as_i64() > Some(3000) && entry.get("hook").is_none()
        })
    };
    let members = stage.members.iter().filter(|member| member.victim == (which == Which::Victim));
    members.into_iter().all(|member| fresh(&member.name))
}

/// Every hook has run for the last set of credentials; how often hooks ran.
fn check_hooks(stage: &Stage, doubts: &Doubts) -> usize {
    let text = fs::read_to_string(stage.hooked()).unwrap_or_default();
    for member in stage.members.iter().filter(|member| member.has_hook) {
        let which = if member.victim { Which::Victim } else { Which::Steady };
        let record = stage.out(which).join(format!("state/{}.json", member.name));
        let record: Value = serde_json::from_str(&fs::read_to_string(record).unwrap()).unwrap();
        let last = format!("{} {}\n", member.name, record["published"]["generation"]);
        if !text.contains(&last) {
            doubts.say(Doubt::Leaked, format!("no hook has run for {last}"));
        }
    }
    text.lines().count()
}

/// Ends the daemons; nothing of their work may lie about, and no secret be in their logs.
fn check_the_end(stage: &Stage, doubts: &Doubts, daemons: &[&Daemon]) {
    for daemon in daemons {
        if !daemon.stop() {
            doubts.say(Doubt::Leaked, "a daemon did not end well".to_owned());
        }
        let log = fs::read_to_string(&daemon.log).unwrap();
        for bad in [TOKEN, "panicked"] {
            if let Some(line) = log.lines().find(|line| line.contains(bad)) {
                doubts.say(Doubt::Leaked, format!("in a log: {line}"));
            }
        }
    }
    for path in temporaries(&stage.directory) {
        doubts.say(Doubt::Leaked, path);
    }
}

/// The paths of all temporaries below `directory`.
fn temporaries(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(path);
            } else if path.to_string_lossy().ends_with(".rolekeeper-tmp") {
                found.push(path.display().to_string());
            }
        }
    }
    found
}
