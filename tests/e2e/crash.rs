//! Crash safety, over all: SIGKILL and failures at every single system call by which a refresh touches the published
//! files. Readers find the old file or the new one, whole and with its mode, at any instant; what failed is named; the
//! next run, which nobody has to force, mends everything.

mod site;

use std::os::unix::process::ExitStatusExt as _;

use self::site::Site;
use crate::host::{has_program, has_root};
use crate::observe::at_once;

const TEMPORARY: &str = ".rolekeeper-tmp";

/// More calls than any refresh makes.
const MOST: usize = 400;

impl Site {
    /// Kills a refresh at each call of `call`, one after the other, until one survives; how many did not.
    fn kill_at_each(&self, call: &str) -> usize {
        let first = self.calls(call)[0].0;
        self.assert_mended("before");
        let mut killed = MOST;
        self.watched(|| {
            for (before, number) in (first..MOST).enumerate() {
                let (output, _) = self.traced(call, Some(&format!("signal=KILL:when={number}")));
                let when = format!("killed at {call} {number}");
                self.assert_mended(&when);
                if output.status.signal() != Some(9) && output.status.code() != Some(137) {
                    assert!(output.status.success(), "{when}: {output:?}");
                    killed = before;
                    return;
                }
            }
        });
        assert!(killed < MOST, "no refresh survived `{call}`");
        killed
    }

    /// Lets each call of `call` that concerns our files fail with `error`, one after the other.
    fn fail_at_each(&self, call: &str, (error, number): (&str, i32)) {
        let calls = self.calls(call);
        self.assert_mended("before");
        self.watched(|| {
            for (count, line) in &calls {
                let when = format!("{error} at {line}");
                let (output, _) = self.traced(call, Some(&format!("error={error}:when={count}")));
                let said = String::from_utf8(output.stderr).unwrap();
                if has_to_fail(call, line) || !output.status.success() {
                    assert!(
                        matches!(output.status.code(), Some(73 | 75)),
                        "{when}: {} {said}",
                        output.status
                    );
                    let named = self.places().iter().any(|place| said.contains(place));
                    let parts = ["cannot ".to_owned(), format!("(os error {number})")];
                    assert!(named && parts.iter().all(|part| said.contains(part)), "{when}: {said}");
                } else {
                    assert_eq!(said, "", "{when}");
                }
                if call != "unlinkat" {
                    assert_eq!(self.leftovers(), [""; 0], "{when}");
                }
                self.assert_mended(&when);
            }
        });
    }
}

/// Whether a refresh cannot have done its work where this call fails. Others have a second way, or only read.
fn has_to_fail(call: &str, line: &str) -> bool {
    line.contains(TEMPORARY) || matches!(call, "fsync" | "mkdirat" | "flock" | "write")
}

const EIO: (&str, i32) = ("EIO", 5);
const EMFILE: (&str, i32) = ("EMFILE", 24);
const ENOSPC: (&str, i32) = ("ENOSPC", 28);
const EROFS: (&str, i32) = ("EROFS", 30);
const EDQUOT: (&str, i32) = ("EDQUOT", 122);

#[test]
fn a_refresh_may_be_killed_at_any_call_that_writes() {
    if has_program("strace") {
        at_once(["write", "fsync", "fchmod", "renameat"], |call| {
            let killed = Site::plain().kill_at_each(call);
            assert!(killed > 5, "`{call}` was killed {killed} times");
        });
    }
}

#[test]
fn a_refresh_may_be_killed_at_any_call_that_opens_closes_or_locks() {
    if has_program("strace") {
        at_once(["openat", "close", "flock"], |call| {
            let killed = Site::plain().kill_at_each(call);
            assert!(killed >= if call == "flock" { 1 } else { 10 }, "`{call}` was killed {killed} times");
        });
    }
}

#[test]
fn a_refresh_may_be_killed_while_it_creates_and_removes() {
    if has_program("strace") {
        at_once(
            [("mkdirat", Site::empty as fn() -> Site), ("unlinkat", Site::to_clean_up)],
            |(call, site)| {
                let killed = site().kill_at_each(call);
                assert!(killed >= 4, "`{call}` was killed {killed} times");
            },
        );
    }
}

#[test]
fn a_refresh_may_be_killed_while_it_gives_files_away() {
    if has_program("strace") && has_root() {
        assert!(Site::given_away().kill_at_each("fchown") >= 3, "once for each file that changes");
    }
}

#[test]
fn a_call_that_fails_is_named_and_the_next_run_mends_what_it_prevented() {
    if !has_program("strace") {
        return;
    }
    let cases: [(&str, &[(&str, i32)]); 8] = [
        ("openat", &[EMFILE, EROFS, EDQUOT]),
        ("write", &[ENOSPC, EIO, EDQUOT]),
        ("fsync", &[EIO, ENOSPC]),
        ("fchmod", &[EROFS, EIO]),
        ("renameat", &[EIO, EROFS, ENOSPC, EDQUOT]),
        ("close", &[EIO, EDQUOT]),
        ("mkdirat", &[ENOSPC, EROFS, EDQUOT]),
        ("flock", &[EIO]),
    ];
    at_once(cases, |(call, errors)| {
        let site = Site::plain();
        errors.iter().for_each(|error| site.fail_at_each(call, *error));
    });
}

#[test]
fn a_merge_may_be_killed_at_any_call() {
    if has_program("strace") {
        at_once(["write", "fsync", "fchmod", "fchown", "renameat", "openat", "close", "flock"], |call| {
            Site::merged().kill_at_each(call);
        });
    }
}

#[test]
fn a_merge_that_fails_is_named_and_the_next_run_makes_up_for_it() {
    if !has_program("strace") {
        return;
    }
    let cases: [(&str, &[(&str, i32)]); 6] = [
        ("write", &[ENOSPC, EDQUOT]),
        ("fsync", &[EIO]),
        ("fchmod", &[EROFS]),
        ("fchown", &[EDQUOT]),
        ("renameat", &[EROFS, ENOSPC]),
        ("close", &[EIO]),
    ];
    at_once(cases, |(call, errors)| {
        let site = Site::merged();
        errors.iter().for_each(|error| site.fail_at_each(call, *error));
    });
}

#[test]
fn a_want_of_descriptors_takes_no_profile_out_of_the_common_files() {
    if has_program("strace") {
        Site::with_neighbour().fail_at_each("openat", EMFILE);
    }
}

#[test]
fn a_removal_or_a_gift_that_fails_is_named_too() {
    if has_program("strace") && has_root() {
        at_once(
            [("unlinkat", EROFS, Site::to_clean_up as fn() -> Site), ("fchown", EDQUOT, Site::given_away)],
            |(call, error, site)| {
                site().fail_at_each(call, error);
            },
        );
    }
}
