//! Carries one status through: claim, post, record.

use std::time::Duration;

use hosts::{Access, CommitStatus, Credential, HostKind, PostError, refusal};
use jiff::{SignedDuration, Timestamp};
use metrics::SharedString;
use shared::ErrorChain;
use shared::item::{NEAR_STATUS_LIMIT, StatusItem};
use shared::message::StatusKey;
use shared::metrics::{
    CALLS, CLASS, CREDENTIALS_REFUSED, EVENT_TO_POSTED, HOST, OUTCOME, OUTCOMES, RATE_LIMITS,
};

use crate::app_tokens::AppTokens;
use crate::credentials::{Credentials, Entry, NoEntry};
use crate::host::Hosts;
use crate::outcome::{self, Counts, Hold, Record, Retry, backoff};
use crate::pace::{EARLY_MILLIS, LONGEST_IN_LINE};
use crate::pacer::{Pacer, Place, Turn};
use crate::ports::{
    Claim, Claimed, CredentialStore, Limit, Recorded, RuleStore, SecretStore, Sleep, StatusStore, Unavailable,
};
use crate::target::{Target, Targets};

/// How long a claim keeps others away: longer than any invocation, whose timeout must stay below it.
pub const LEASE_MILLIS: i64 = 150_000;

/// Time beside a post: the wait for its slot, the secret, and the writes.
const TIME_BESIDE: SignedDuration = SignedDuration::from_secs(10);

/// Time to post one status with Flux's timeout of 15 seconds. With less left before the deadline none is begun; a Provider
/// that asks for longer gets what is left, and so does a host that takes longer, if that is as much as it may take.
pub const TIME_FOR_ONE: SignedDuration = SignedDuration::from_secs(25);

/// Time kept for writing down what came of a post.
const TIME_TO_RECORD: SignedDuration = SignedDuration::from_secs(5);

/// Time kept before a post for reading the secret: a lease has to last for both.
const TIME_TO_PREPARE: SignedDuration = SignedDuration::from_secs(5);

/// Claims in a row without a recorded outcome after which a status is taken out of the way: it crashes the poster.
const CLAIMS_BEFORE_CRASHED: u32 = 5;

/// The word for a credential that nothing is posted with for now.
const HELD: &str = "held";

/// Changes of one status that are posted one after the other; a further one waits for the sweeper.
const ROUNDS: usize = 5;

/// What posting works with.
pub struct Deps<S, P, W, R, T, C> {
    /// Statuses.
    pub statuses: S,
    /// Pace, holds, and whose turn it is.
    pub pacer: Pacer<P, W>,
    /// Rules and Providers.
    pub targets: Targets<R>,
    /// Secrets.
    pub credentials: Credentials<T>,
    /// The Git hosts.
    pub hosts: Hosts,
    /// Tokens of GitHub Apps.
    pub app_tokens: AppTokens,
    /// The clock.
    pub clock: C,
}

impl<S, P, W, R, T, C> Deps<S, P, W, R, T, C>
where
    S: StatusStore,
    P: CredentialStore,
    W: Sleep,
    R: RuleStore,
    T: SecretStore,
    C: Fn() -> Timestamp,
{
    /// Posts a status if something is due, and again while it changes meanwhile. The invocation ends at `deadline`.
    ///
    /// # Errors
    /// If a table does not answer. What was claimed stays due, and can be claimed again when the lease ends.
    pub async fn work_on(&self, key: &StatusKey, deadline: Timestamp) -> Result<(), Unavailable> {
        for _ in 0..ROUNDS {
            let now = (self.clock)();
            if now + TIME_FOR_ONE > deadline {
                // It changed while it was posted, and is due for the sweeper.
                log_idle(key, "not-begun");
                return Ok(());
            }
            let claim = match self
                .statuses
                .claim(key, now.as_millisecond(), LEASE_MILLIS)
                .await?
            {
                Claimed::Ours(claim) => claim,
                Claimed::NothingDue => {
                    log_idle(key, "nothing-due");
                    return Ok(());
                }
                Claimed::Busy => {
                    log_idle(key, "busy");
                    return Ok(());
                }
            };
            let record = self.carry_out(&claim, deadline).await?;
            let recorded = self
                .statuses
                .record(&claim, &record, (self.clock)().as_millisecond())
                .await?;
            log(&claim.item, &record, recorded);
            if recorded != Recorded::Changed {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn carry_out(&self, claim: &Claim, deadline: Timestamp) -> Result<Record, Unavailable> {
        let item = &claim.item;
        if item.claims >= CLAIMS_BEFORE_CRASHED {
            return Ok(Record::Parked {
                reason: "crashed",
                error: item.last_error.clone(),
            });
        }
        if !item.unsure {
            if item.is_posted() {
                return Ok(Record::Ended {
                    reason: "already-posted",
                    error: None,
                });
            }
            if item.desired.only_clears && item.posted.is_none() {
                return Ok(Record::Ended {
                    reason: "nothing-to-clear",
                    error: None,
                });
            }
        }
        if outcome::is_spared(item) {
            tracing::warn!(
                commit.repository = %item.key.repository(),
                commit.sha = %item.key.sha(),
                status.context = %item.context,
                status.posts = item.posts,
                outcome = NEAR_STATUS_LIMIT,
                "near what the host takes on one context: only turns between green and red are still posted"
            );
            return Ok(Record::Ended {
                reason: NEAR_STATUS_LIMIT,
                error: None,
            });
        }
        match self.targets.of(item, (self.clock)()).await? {
            Ok(target) => self.post(item, &target, deadline).await,
            Err(record) => Ok(record),
        }
    }

    /// Posts when it is the credential's turn to.
    async fn post(
        &self,
        item: &StatusItem,
        target: &Target,
        deadline: Timestamp,
    ) -> Result<Record, Unavailable> {
        let host = target.repository.host_kind;
        let patience = deadline.duration_since((self.clock)()) - time_for_one(host);
        let patience = Duration::try_from(patience)
            .unwrap_or_default()
            .min(LONGEST_IN_LINE);
        let Some(mut place) = self
            .pacer
            .line_up(&target.secrets.credential, host.pace(), patience, &self.clock)
            .await
        else {
            return self
                .wait(item, target, (self.clock)().as_millisecond(), None)
                .await;
        };
        let record = self.post_in_turn(item, target, deadline, &mut place).await;
        self.pacer.leave(place, (self.clock)()).await;
        record
    }

    async fn post_in_turn(
        &self,
        item: &StatusItem,
        target: &Target,
        deadline: Timestamp,
        place: &mut Place<'_>,
    ) -> Result<Record, Unavailable> {
        let host = target.repository.host_kind;
        let now = (self.clock)();
        if now + time_for_one(host) > deadline {
            // Those before it in line took their time.
            return self.wait(item, target, now.as_millisecond(), None).await;
        }
        // Before the secret is read: a credential that is held is not looked at either.
        let in_turn = item
            .turn_at
            .is_some_and(|turn_at| turn_at <= now.as_millisecond() + EARLY_MILLIS);
        let mut turn = match self.turn(item, target, deadline, place, in_turn).await? {
            Ok(turn) => turn,
            Err(later) => return Ok(later),
        };
        let entry = match self.credentials.get(host, &target.secrets, (self.clock)()).await {
            Ok(Ok(entry)) => entry,
            Ok(Err(missing)) => return self.not_let_in(item, target, &missing).await,
            Err(error) => {
                let error = ErrorChain(&error).to_string();
                return Ok(Record::Retry(self.after_backoff(item, &error)));
            }
        };
        let status = CommitStatus {
            repository: &target.repository,
            sha: &target.sha,
            context: &item.context,
            summary: item.summary.as_deref(),
            state: item.desired.state,
            description: &item.desired.description,
            target_url: item.desired.target_url.as_deref(),
        };
        let Some(mut attempt) = self.attempt(&entry, &status, target, turn.ends).await else {
            let now = (self.clock)().as_millisecond();
            return self.wait(item, target, now, None).await;
        };
        if let Err(error) = &attempt.answer
            && may_be_the_credential(error)
        {
            // The secret may have been mended since it was read, and a token of an App be taken back before it expires.
            let mended = match self.credentials.read(host, &target.secrets, (self.clock)()).await {
                Ok(Ok(mended)) => mended,
                Ok(Err(missing)) => return self.not_let_in(item, target, &missing).await,
                Err(_) => entry.clone(),
            };
            if let Access::GitHubApp(app) = &entry.access {
                self.app_tokens.forget(app, &target.repository).await;
            }
            if attempt.with_kept_token || !mended.is_same_as(&entry) {
                turn = match self.turn(item, target, deadline, place, true).await? {
                    Ok(turn) => turn,
                    Err(later) => return Ok(later),
                };
                attempt = match self.attempt(&mended, &status, target, turn.ends).await {
                    Some(attempt) => attempt,
                    None => {
                        let now = (self.clock)().as_millisecond();
                        return self.wait(item, target, now, None).await;
                    }
                };
            }
        }
        let answer = attempt.answer;
        match answer {
            Ok(()) => {
                count_time_to_post(item, (self.clock)());
                if turn.was_held {
                    let now = (self.clock)().as_millisecond();
                    // The post was taken, whatever becomes of this.
                    if let Err(error) = self.pacer.store.release(&target.secrets.credential, now).await {
                        tracing::warn!(
                            credential = %target.secrets.credential,
                            error = %ErrorChain(&error),
                            "past holds of a credential that works are still counted"
                        );
                    }
                }
                Ok(Record::Posted)
            }
            Err(error) => {
                let now = (self.clock)();
                match outcome::outcome(item, &error, now) {
                    (_, Some(Hold::Refused)) => self.refused(item, target, &error.to_string()).await,
                    (_, Some(Hold::Until { millis, too_fast })) => {
                        let limit = Limit {
                            until: millis,
                            too_fast: too_fast.then_some(turn.reserved),
                        };
                        self.limited(item, target, limit, &error.to_string()).await
                    }
                    (record, None) => Ok(record),
                }
            }
        }
    }

    /// One post, and before it the request for a token if an App needs one; `None` if there is no time for it.
    async fn attempt(
        &self,
        entry: &Entry,
        status: &CommitStatus<'_>,
        target: &Target,
        ends: Timestamp,
    ) -> Option<Attempt> {
        let time = time_for_post(asked(target), ends, (self.clock)())?;
        let app = match &entry.access {
            Access::Direct(credential) => {
                return Some(Attempt {
                    answer: self.call(entry, credential, status, time).await,
                    with_kept_token: false,
                });
            }
            Access::GitHubApp(app) => app,
        };
        let repository = &target.repository;
        if let Some(kept) = self.app_tokens.get(app, repository, (self.clock)()).await {
            return Some(Attempt {
                answer: self.call(entry, &kept, status, time).await,
                with_kept_token: true,
            });
        }
        let asked_for = self
            .hosts
            .installation_token(&entry.way, app, repository, time, &self.clock)
            .await;
        let host = repository.authority.clone();
        let token = match asked_for {
            Ok(token) => token,
            Err(error) => {
                let class = class(&Err(error.clone()));
                metrics::counter!(CALLS, HOST => host, CLASS => class).increment(1);
                return Some(Attempt {
                    answer: Err(error),
                    with_kept_token: false,
                });
            }
        };
        metrics::counter!(CALLS, HOST => host, CLASS => "token").increment(1);
        self.app_tokens.put(app, repository, token.clone()).await;
        let time = time_for_post(asked(target), ends, (self.clock)())?;
        Some(Attempt {
            answer: self.call(entry, &token.credential, status, time).await,
            with_kept_token: false,
        })
    }

    async fn call(
        &self,
        entry: &Entry,
        credential: &Credential,
        status: &CommitStatus<'_>,
        time: Duration,
    ) -> Result<(), PostError> {
        let answer = self
            .hosts
            .post(&entry.way, credential, status, time, &self.clock)
            .await;
        let (host, class) = (status.repository.authority.clone(), class(&answer));
        metrics::counter!(CALLS, HOST => host, CLASS => class).increment(1);
        answer
    }

    /// The turn of a post that takes as long as the Provider allows; inside, what to record if it has to wait for longer
    /// than this function does.
    async fn turn(
        &self,
        item: &StatusItem,
        target: &Target,
        deadline: Timestamp,
        place: &mut Place<'_>,
        in_turn: bool,
    ) -> Result<Result<BegunTurn, Record>, Unavailable> {
        let deadline = deadline - TIME_TO_RECORD;
        let left = deadline.duration_since((self.clock)());
        let millis = (asked(target).min(left) + TIME_TO_PREPARE).as_millis();
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        match self.pacer.turn(place, millis, in_turn, &self.clock).await? {
            Turn::Now {
                reserved,
                was_held,
                until,
            } => {
                let lease_end = until.and_then(|until| Timestamp::from_millisecond(until).ok());
                Ok(Ok(BegunTurn {
                    reserved,
                    was_held,
                    ends: lease_end.map_or(deadline, |end| end.min(deadline)),
                }))
            }
            Turn::NotBefore(millis, reason) => Ok(Err(self.wait(item, target, millis, reason).await?)),
        }
    }

    /// The host's limit is met: the credential rests, and its statuses with it, until the instant the host named.
    async fn limited(
        &self,
        item: &StatusItem,
        target: &Target,
        limit: Limit,
        error: &str,
    ) -> Result<Record, Unavailable> {
        let error = outcome::cut(error);
        let now = (self.clock)().as_millisecond();
        let doublings = self
            .pacer
            .store
            .hold(&target.secrets.credential, limit, &error, now)
            .await?;
        tracing::warn!(
            credential = %target.secrets.credential,
            hold.until = %at(limit.until),
            pace.slowed = 1_u32 << doublings,
            error = %error,
            outcome = HELD,
            "credential held back until the instant its host named"
        );
        metrics::counter!(RATE_LIMITS).increment(1);
        count(HELD, 1);
        self.wait(item, target, limit.until, Some(error)).await
    }

    /// The credential is missing or refused: it rests, and its statuses with it, until it is tried again.
    async fn refused(&self, item: &StatusItem, target: &Target, error: &str) -> Result<Record, Unavailable> {
        let error = outcome::cut(error);
        let now = (self.clock)().as_millisecond();
        let until = self
            .pacer
            .store
            .refuse(&target.secrets.credential, &error, now)
            .await?;
        tracing::error!(
            credential = %target.secrets.credential,
            hold.until = %at(until),
            error = %error,
            outcome = HELD,
            "credential refused or missing: set the secret again, it is tried again by itself"
        );
        metrics::counter!(CREDENTIALS_REFUSED).increment(1);
        count(HELD, 1);
        self.wait(item, target, until, Some(error)).await
    }

    /// What the secrets hold cannot be used. Certificates and proxies are no credential: others may have the same one
    /// without them, and are not held back.
    async fn not_let_in(
        &self,
        item: &StatusItem,
        target: &Target,
        missing: &NoEntry,
    ) -> Result<Record, Unavailable> {
        let error = ErrorChain(missing).to_string();
        if missing.is_about_the_credential() {
            return self.refused(item, target, &error).await;
        }
        tracing::error!(
            provider = %item.provider,
            error = %error,
            "certificates or proxy cannot be used: set the secret again, it is tried again by itself"
        );
        metrics::counter!(CREDENTIALS_REFUSED).increment(1);
        Ok(Record::Retry(self.after_backoff(item, &error)))
    }

    fn after_backoff(&self, item: &StatusItem, error: &str) -> Retry {
        Retry {
            due_at: (self.clock)().as_millisecond() + backoff(item.attempts),
            open: false,
            counts: Counts::Attempt,
            claim_until: None,
            turn_at: None,
            error: Some(outcome::cut(error)),
        }
    }

    /// Gives a status its turn behind those that wait for the credential already, so that they come one after the other
    /// whenever there is time again, and none comes in vain. A turn that is still to come is kept.
    async fn wait(
        &self,
        item: &StatusItem,
        target: &Target,
        earliest: i64,
        error: Option<String>,
    ) -> Result<Record, Unavailable> {
        let now = (self.clock)().as_millisecond();
        if let Some(turn_at) = item
            .turn_at
            .filter(|turn_at| *turn_at > now && *turn_at >= earliest)
            && item.credential == target.secrets.credential
        {
            return Ok(waits(turn_at, error));
        }
        let pace = target.repository.host_kind.pace();
        let turn_at = self
            .pacer
            .store
            .next_turn(&target.secrets.credential, pace, earliest, now)
            .await?;
        Ok(waits(turn_at, error))
    }
}

/// What is written down about a status whose turn comes later.
fn waits(turn_at: i64, error: Option<String>) -> Record {
    Record::Retry(Retry {
        due_at: turn_at,
        open: false,
        counts: Counts::Nothing,
        claim_until: None,
        turn_at: Some(turn_at),
        error,
    })
}

/// Whether another credential might get another answer: a host that does not let us see a repository says that there is
/// none.
fn may_be_the_credential(error: &PostError) -> bool {
    match error {
        PostError::Unauthorized(_) => true,
        PostError::Permanent { reason, .. } => matches!(*reason, refusal::FORBIDDEN | refusal::NOT_FOUND),
        _ => false,
    }
}

/// A post, and what it was made with.
struct Attempt {
    answer: Result<(), PostError>,
    /// A token that an App was given before this post.
    with_kept_token: bool,
}

/// Time to post one status, with the timeout its host needs.
fn time_for_one(host: HostKind) -> SignedDuration {
    let timeout = SignedDuration::from_secs(i64::from(host.timeout_seconds()));
    (timeout + TIME_BESIDE).max(TIME_FOR_ONE)
}

/// How long the Provider lets a post take.
fn asked(target: &Target) -> SignedDuration {
    SignedDuration::from_secs(i64::from(target.timeout_seconds))
}

/// A turn to post that has come.
struct BegunTurn {
    reserved: i64,
    was_held: bool,
    /// When the post has to be over.
    ends: Timestamp,
}

/// The time a Provider asks for, but none after the turn: what is cut off when the function ends waits for the end of its
/// claim, and what goes on after the lease is not alone. `None` if the turn is over.
fn time_for_post(asked: SignedDuration, ends: Timestamp, now: Timestamp) -> Option<Duration> {
    let time = asked.min(ends.duration_since(now));
    Duration::try_from(time).ok().filter(|time| !time.is_zero())
}

fn at(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |instant| format!("{instant:.0}"))
}

fn count(outcome: impl Into<SharedString>, times: u64) {
    metrics::counter!(OUTCOMES, OUTCOME => outcome.into()).increment(times);
}

/// How long the news took from intake to the host. A change that was told before and is posted once more is none.
fn count_time_to_post(item: &StatusItem, now: Timestamp) {
    let told_before = item.posted.as_ref().is_some_and(|posted| posted.rev == item.rev);
    if let Some(received_at) = item.desired.received_at
        && !told_before
    {
        // Intake may run on a machine whose clock is ahead of this one's.
        let millis = now.as_millisecond().saturating_sub(received_at).max(0);
        metrics::histogram!(EVENT_TO_POSTED).record(millis as f64);
    }
}

/// What the answer to a call means, in one word.
fn class(answer: &Result<(), PostError>) -> &'static str {
    match answer {
        Ok(()) => "posted",
        Err(PostError::Ambiguous(_)) => "ambiguous",
        Err(PostError::NotSent(_)) => "not-sent",
        Err(PostError::Conflict(_)) => "conflict",
        Err(PostError::RateLimited { .. }) => "rate-limited",
        Err(PostError::Unauthorized(_)) => "unauthorized",
        Err(PostError::UnknownCommit(_)) => "unknown-commit",
        Err(PostError::Permanent { .. }) => "refused",
    }
}

fn log_idle(key: &StatusKey, outcome: &'static str) {
    count(outcome, 1);
    tracing::info!(
        commit.repository = %key.repository(),
        commit.sha = %key.sha(),
        status.context = %key.sk,
        outcome,
        "{} on {}: {outcome}",
        key.sk,
        key.sha(),
    );
}

fn log(item: &StatusItem, record: &Record, recorded: Recorded) {
    let (outcome, error, next) = match record {
        Record::Posted => ("posted".to_owned(), None, None),
        Record::Retry(retry) => ("retry".to_owned(), retry.error.as_deref(), Some(at(retry.due_at))),
        Record::Parked { reason, error } => (format!("parked({reason})"), error.as_deref(), None),
        Record::Ended { reason, error } => (format!("ended({reason})"), error.as_deref(), None),
    };
    let coalesced = match record {
        Record::Posted | Record::Parked { .. } | Record::Ended { .. } => item.coalesced(),
        Record::Retry(_) => 0,
    };
    count(outcome.clone(), 1);
    if coalesced > 0 {
        count("coalesced", coalesced);
    }
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                event.id = %item.event_id,
                event.cluster = %item.cluster,
                event.object = %item.object,
                rule = %item.rule,
                provider = %item.provider,
                commit.repository = %item.key.repository(),
                commit.sha = %item.key.sha(),
                status.context = %item.context,
                status.state = %item.desired.state,
                status.rev = item.rev,
                status.coalesced = coalesced,
                status.attempts = item.attempts,
                next_attempt = next,
                error,
                outcome = %outcome,
                recorded = ?recorded,
                "{} on {}: {} {outcome}",
                item.context,
                item.key.sha(),
                item.desired.state,
            )
        };
    }
    match record {
        Record::Posted | Record::Ended { .. } => line!(info),
        // It only waits.
        Record::Retry(Retry {
            turn_at: Some(_),
            error: None,
            ..
        }) => line!(info),
        Record::Retry(_) => line!(warn),
        Record::Parked { .. } => line!(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_over_when_its_turn_is() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let time = |asked, left| {
            let time = time_for_post(SignedDuration::from_secs(asked), at(left), at(0));
            time.map(|time| time.as_secs())
        };
        assert_eq!(time(15, 120), Some(15));
        assert_eq!(time(60, 20), Some(20));
        assert_eq!(time(15, 0), None);
        assert_eq!(time(15, -3), None);
        assert!(time_for_post(SignedDuration::MAX, Timestamp::MAX, Timestamp::MIN).is_some());
    }
}
