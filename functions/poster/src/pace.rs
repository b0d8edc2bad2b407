//! How fast a credential may post.

use std::time::Duration;

pub use hosts::Pace;

/// A slot no further away is waited for in the function. For a later one the status gets a turn, which is its due date.
pub const LONGEST_WAIT_MILLIS: i64 = 1_000;

/// For how long posts with a credential may wait for their slots in functions, one after the other. Then there is more to post
/// than the pace allows for long, and whoever waited would keep others waiting.
pub const PRESSED_MILLIS: i64 = 10_000;

/// How much earlier than its turn a status may come: the clocks of two functions are never the same.
pub const EARLY_MILLIS: i64 = 1_000;

/// A status without a turn goes behind those that have one if one of them was posted within this time: longer than the sweeper
/// is away between two sweeps. Before it comes, and when turns belonged to what ended without a post, slots are for whoever comes.
pub const TURNS_KEPT_MILLIS: i64 = 20_000;

/// For how long a post stands in line for the others of its process.
pub const LONGEST_IN_LINE: Duration = Duration::from_secs(5);

/// Posts that stand in line at most: a batch. Only where a process handles several at once there could be more.
pub const LONGEST_LINE: usize = 10;

/// A credential that another poster is using is asked for again after each of these waits, together less than
/// [`LONGEST_WAIT_MILLIS`]; then the status gets a turn.
pub const BUSY_WAITS_MILLIS: [u64; 3] = [200, 300, 400];

/// A credential that is too fast posts at a sixteenth of its pace at the slowest.
const MOST_DOUBLINGS: u32 = 4;

/// After every stretch of this length without another such limit the pace doubles again.
const QUIET_MILLIS: i64 = 10 * 60_000;

/// After this time a credential that was slowed has its whole pace again, however slow it was.
pub const RECOVERED_MILLIS: i64 = QUIET_MILLIS * MOST_DOUBLINGS as i64;

/// How much slower than its host's pace a credential posts, for the host said that it is too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slowness {
    /// How often the interval was doubled.
    pub doublings: u32,
    /// When the hold for it ends, in milliseconds: no post tells before whether the pace is slow enough.
    pub since: i64,
}

impl Slowness {
    /// The doublings that are left of it. Nothing is written when the pace recovers.
    pub fn doublings_at(self, now: i64) -> u32 {
        let quiet = now.saturating_sub(self.since).max(0) / QUIET_MILLIS;
        let recovered = u32::try_from(quiet).unwrap_or(u32::MAX);
        self.doublings.min(MOST_DOUBLINGS).saturating_sub(recovered)
    }

    /// What a post makes of it that reserved its slot at `reserved`, and was told at `now` that it is too fast and has to
    /// wait until `until`; `None` if that changes nothing. A post that reserved its slot before the last hold for it had
    /// ended did not know of it: posts under way together are told together, and that counts once.
    pub fn after_limit(past: Option<Self>, reserved: i64, until: i64, now: i64) -> Option<Self> {
        match past {
            Some(past) if reserved < past.since => {
                (until > past.since).then_some(Self { since: until, ..past })
            }
            _ => {
                let doublings = past.map_or(0, |past| past.doublings_at(now)) + 1;
                Some(Self {
                    doublings: doublings.min(MOST_DOUBLINGS),
                    since: until,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn slowness(doublings: u32, since: i64) -> Slowness {
        Slowness { doublings, since }
    }

    #[test]
    fn a_busy_credential_is_asked_for_again_within_the_longest_wait() {
        let longest = u64::try_from(LONGEST_WAIT_MILLIS).unwrap();
        assert!(BUSY_WAITS_MILLIS.iter().sum::<u64>() < longest);
    }

    #[test]
    fn a_pace_recovers_by_half_for_each_quiet_stretch_after_the_hold() {
        let slowed = slowness(4, 0);
        for (minutes, left) in [
            (-90, 4),
            (0, 4),
            (9, 4),
            (10, 3),
            (19, 3),
            (20, 2),
            (30, 1),
            (39, 1),
            (40, 0),
            (400, 0),
        ] {
            assert_eq!(slowed.doublings_at(minutes * MINUTE), left, "{minutes}");
        }
        assert_eq!(slowed.doublings_at(10 * MINUTE - 1), 4);
        assert_eq!(slowed.doublings_at(RECOVERED_MILLIS - 1), 1);
        assert_eq!(slowed.doublings_at(RECOVERED_MILLIS), 0);
        assert_eq!(slowness(1, 0).doublings_at(i64::MAX), 0);
        assert_eq!(
            slowness(u32::MAX, 0).doublings_at(0),
            4,
            "whatever stands in the table"
        );
    }

    #[test]
    fn each_limit_doubles_the_interval_up_to_sixteen_times() {
        let mut past = None;
        for (n, doublings) in (0..).zip([1, 2, 3, 4, 4]) {
            let (reserved, until) = (n * MINUTE, (n + 1) * MINUTE);
            past = Slowness::after_limit(past, reserved, until, reserved + 1);
            assert_eq!(past, Some(slowness(doublings, until)));
        }
    }

    #[test]
    fn a_limit_counts_on_from_what_is_left() {
        let now = 25 * MINUTE;
        let past = Some(slowness(3, 0));
        assert_eq!(
            Slowness::after_limit(past, now, now + 5, now + 1),
            Some(slowness(2, now + 5))
        );
    }

    #[test]
    fn limits_of_posts_that_were_under_way_together_count_once() {
        let past = slowness(1, MINUTE);
        for reserved in [0, MINUTE - 1] {
            for until in [MINUTE - 1, MINUTE] {
                assert_eq!(Slowness::after_limit(Some(past), reserved, until, 1), None);
            }
            assert_eq!(
                Slowness::after_limit(Some(past), reserved, 2 * MINUTE, 1),
                Some(slowness(1, 2 * MINUTE)),
                "it recovers from when the longest hold ends"
            );
        }
        assert_eq!(
            Slowness::after_limit(Some(past), MINUTE, 2 * MINUTE, MINUTE),
            Some(slowness(2, 2 * MINUTE))
        );
    }
}
