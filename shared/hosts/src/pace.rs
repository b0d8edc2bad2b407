//! How fast a credential may post.

/// A steady pace with some room for bursts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Milliseconds between two posts in the long run.
    pub interval_millis: i64,
    /// Posts that may come at once after a pause.
    pub burst: i64,
    /// Whether a post has to be over before the next one begins.
    pub one_at_a_time: bool,
}

impl Pace {
    /// How far the slots may run ahead of the clock before a post has to wait.
    pub const fn tolerance_millis(self) -> i64 {
        self.interval_millis * (self.burst - 1)
    }

    /// This pace with its interval doubled so many times, and then without bursts.
    #[must_use]
    pub const fn slowed(self, doublings: u32) -> Self {
        if doublings == 0 {
            return self;
        }
        Self {
            interval_millis: self.interval_millis << doublings,
            burst: 1,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::HostKind;

    #[test]
    fn no_minute_holds_more_posts_than_a_host_allows() {
        // Those that leave it to whoever runs them get no more than GitLab's.
        let allowed = |kind| match kind {
            HostKind::GitHub => 80,
            HostKind::Bitbucket => 1_000 / 60 + 60,
            _ => 2_000,
        };
        for kind in HostKind::ALL {
            let pace = kind.pace();
            let posts = pace.burst + 60_000 / pace.interval_millis;
            assert!(posts <= allowed(kind), "{kind}: {posts}");
        }
    }

    #[test]
    fn a_slowed_pace_has_longer_intervals_and_no_bursts() {
        let pace = HostKind::GitHub.pace();
        assert_eq!(pace.slowed(0), pace);
        for (doublings, interval_millis) in [(1, 2_000), (2, 4_000), (4, 16_000)] {
            let slowed = pace.slowed(doublings);
            assert_eq!(
                (slowed.interval_millis, slowed.tolerance_millis()),
                (interval_millis, 0)
            );
            assert!(slowed.one_at_a_time);
        }
    }
}
