//! How fast a credential may post.

use shared::kinds::HostKind;

/// A slot no further away is waited for in the function; a later one becomes the due date.
pub const LONGEST_WAIT_MILLIS: i64 = 3_000;

/// A steady pace with some room for bursts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Milliseconds between two posts in the long run.
    pub interval_millis: i64,
    /// Posts that may come at once after a pause.
    pub burst: i64,
}

impl Pace {
    /// The pace a host advises.
    pub const fn of(host: HostKind) -> Self {
        match host {
            // "Wait at least one second between each request", at most 80 content-generating requests a minute:
            // https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
            HostKind::GitHub => Self {
                interval_millis: 1_000,
                burst: 15,
            },
            // gitlab.com allows 2,000 authenticated API requests a minute and user:
            // https://docs.gitlab.com/user/gitlab_com/#rate-limits-on-gitlabcom
            HostKind::GitLab => Self {
                interval_millis: 100,
                burst: 50,
            },
            // 1,000 requests an hour and user, a burst included:
            // https://support.atlassian.com/bitbucket-cloud/docs/api-request-limits/
            HostKind::Bitbucket => Self {
                interval_millis: 4_000,
                burst: 60,
            },
        }
    }

    /// How far the slots may run ahead of the clock before a post has to wait.
    pub const fn tolerance_millis(self) -> i64 {
        self.interval_millis * (self.burst - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_holds_more_posts_than_a_host_allows() {
        for (host, allowed) in [(HostKind::GitHub, 80), (HostKind::GitLab, 2_000)] {
            let pace = Pace::of(host);
            let posts = pace.burst + 60_000 / pace.interval_millis;
            assert!(posts <= allowed, "{host}: {posts}");
        }
    }
}
