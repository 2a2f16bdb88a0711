//! Somebody who calls the one-shot commands beside the daemon, all the time.

use std::process::Output;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::doubts::Doubt;
use crate::options::Dice;
use crate::reader::{Court, is_valid_document};
use crate::stage::{Member, ROLES, Which};
use crate::watch::true_time;
use crate::weather::Concerned;

/// The longest that a command may have to wait for a batch, and for its own; it includes calls that hang.
const PATIENCE: Duration = Duration::from_secs(100);

/// With this much good weather behind it a command has no reason to fail: it may have begun in a batch of before.
const SETTLED: Duration = Duration::from_secs(100);

impl Court<'_> {
    /// Calls commands until the run is over.
    pub(crate) fn visit(&self, seed: u64) {
        let mut dice = Dice::new(seed);
        while !self.watch.is_over() {
            let member = dice.pick(&self.stage.members).clone();
            match dice.between(0, 8) {
                0 => self.call(&member, &["refresh"]),
                1 => self.call(&member, &["refresh", "--force", &member.name]),
                2 => self.call(&member, &["status"]),
                3 => self.call(&member, &["refresh", &member.name]),
                _ => self.call(&member, &["print", &member.name]),
            }
            self.watch.sleep(dice.milliseconds(100, 2_500));
        }
    }

    fn call(&self, member: &Member, arguments: &[&str]) {
        let which = if member.victim { Which::Victim } else { Which::Steady };
        let (before, began) = (self.watch.now(), true_time());
        let output = self.stage.command(which, arguments).output().unwrap();
        let took = self.watch.now() - before;
        self.doubts.commands.fetch_add(1, Ordering::Relaxed);
        let is_settled = before.checked_sub(SETTLED).is_some_and(|from| {
            let mut everybody = (0..ROLES).map(|role| Concerned { role, victim: false });
            everybody.all(|whom| self.weather.was_good_since(from, whom))
        });
        let complaint = match output.status.code() {
            Some(0) if arguments[0] == "print" => {
                let text = String::from_utf8_lossy(&output.stdout);
                // Valid when it was asked for; a machine may be slow.
                (!is_valid_document(self.stage, member, &text, began)).then_some("prints what is not valid")
            }
            Some(0) => None,
            // Nothing is there yet, the network, a denied role, a metadata service that knows of no session tokens.
            Some(69 | 75 | 77 | 78) if !is_settled => None,
            _ => Some("fails without need"),
        };
        if let Some(complaint) = complaint {
            self.complain(member, arguments, complaint, &output);
        }
        if took > PATIENCE + self.watch.stalled_since(before) * 2 {
            self.complain(member, arguments, &format!("took {took:?}"), &output);
        }
    }

    fn complain(&self, member: &Member, arguments: &[&str], complaint: &str, output: &Output) {
        let now = self.watch.now();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let what =
            format!("{arguments:?} of {} at {now:?} {complaint}: {} {said}", member.name, output.status);
        self.doubts.say(Doubt::Command, what);
    }
}
