//! How each profile stands, for the log and the service manager.

use log::{info, warn};

use super::work::Member;
use crate::schedule::Carried;

/// So many failing profiles are named.
const NAMED: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Not tried yet.
    None,
    Fresh,
    /// With the message, so that the same one is not logged again and again.
    Failing(String),
}

/// The last verdict on each profile.
#[derive(Debug)]
pub(super) struct Verdicts {
    verdicts: Vec<Verdict>,
    /// Something to say once beside them.
    remark: Option<String>,
}

impl Verdicts {
    pub(super) fn new(profiles: usize) -> Self {
        Self { verdicts: vec![Verdict::None; profiles], remark: None }
    }

    pub(super) fn fresh(&mut self, index: usize) {
        self.set(index, Verdict::Fresh);
    }

    /// Logs a failure, where it is not the one that was logged last.
    pub(super) fn failing(&mut self, index: usize, message: &str, advice: Option<&str>) {
        let verdict = Verdict::Failing(message.to_owned());
        if self.verdicts.get(index) != Some(&verdict) {
            warn!("{message}");
            if let Some(advice) = advice {
                info!("{advice}");
            }
        }
        self.set(index, verdict);
    }

    fn set(&mut self, index: usize, verdict: Verdict) {
        if let Some(place) = self.verdicts.get_mut(index) {
            *place = verdict;
        }
    }

    pub(super) fn remark(&mut self, remark: String) {
        self.remark = Some(remark);
    }

    /// Every profile has been tried.
    pub(super) fn are_complete(&self) -> bool {
        !self.verdicts.contains(&Verdict::None)
    }

    pub(super) fn any_fresh(&self) -> bool {
        self.verdicts.contains(&Verdict::Fresh)
    }

    /// After a reload: what was known of a profile stays known, new ones have yet to be tried.
    pub(super) fn carry(&mut self, carried: &[Carried]) {
        let known = |carried: &Carried| {
            carried.before.and_then(|index| self.verdicts.get(index.0)).cloned().unwrap_or(Verdict::None)
        };
        self.verdicts = carried.iter().map(known).collect();
        self.remark = None;
    }

    /// One line: how many are fresh, which are not, and what else is in `trouble`.
    pub(super) fn in_words(&self, members: &[Member], trouble: Option<&str>) -> String {
        let fresh = self.verdicts.iter().filter(|verdict| **verdict == Verdict::Fresh).count();
        let mut text = format!("{fresh} of {} profiles fresh", self.verdicts.len());
        let names = members.iter().zip(&self.verdicts);
        let failing: Vec<&str> = names
            .filter(|(_, verdict)| matches!(verdict, Verdict::Failing(_)))
            .map(|(member, _)| member.name.as_str())
            .collect();
        if !failing.is_empty() {
            let named = failing.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
            let more = failing.len().saturating_sub(NAMED);
            text.push_str(&format!("; failing: {named}"));
            if more > 0 {
                text.push_str(&format!(" and {more} more"));
            }
        }
        for remark in [self.remark.as_deref(), trouble].into_iter().flatten() {
            text.push_str(&format!("; {remark}"));
        }
        text
    }
}
