//! Who goes next, and what goes wrong there. Every call of a function to the outside waits here for its turn, so that
//! invocations interleave at exactly these points, in an order that the seed alone decides.

use std::future::pending;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use jiff::Timestamp;
use tokio::sync::oneshot;

/// When every history begins.
pub(crate) const START: i64 = 1_786_108_380; // 2026-08-07T13:13:00Z

/// Time that passes with a call, at most.
const CALL_MILLIS: i64 = 120;
/// One call in so many takes long.
const SLOW_ONE_IN: u32 = 60;
/// How long at most.
const SLOW_MILLIS: i64 = 40_000;

/// The clock that only the simulation moves.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(crate) fn millis(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.millis()).unwrap()
    }

    pub(crate) fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    pub(crate) fn advance_to(&self, millis: i64) {
        self.0.fetch_max(millis, Ordering::SeqCst);
    }
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// An error, and nothing was done.
    ErrorBefore,
    /// It was done, but the caller sees an error.
    ErrorAfter,
    /// The invocation ends here, before the call.
    CrashBefore,
    /// The invocation ends here, the call is done.
    CrashAfter,
    /// The answer was lost and the client has sent the request again: it is done twice.
    Twice,
}

impl Fault {
    pub(crate) const EVERY: [Self; 5] = [
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::Twice,
    ];
}

/// The four functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Intake,
    Rules,
    Poster,
    Sweeper,
}

/// How many faults a history gets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plan {
    /// One call in so many fails; 0 for none.
    pub(crate) one_in: u32,
    /// Faults in the poster: below the number of claims after which a status is parked as one that crashes it.
    pub(crate) in_poster: u32,
    /// Faults elsewhere.
    pub(crate) elsewhere: u32,
    /// The one call that fails, by its number.
    pub(crate) exactly: Option<(u64, Fault)>,
}

struct Waiter {
    invocation: u64,
    number: u64,
    go: oneshot::Sender<Fault>,
    label: String,
    can_fail: bool,
}

/// What is known of an invocation that is under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Current {
    pub(crate) invocation: u64,
    pub(crate) function: Function,
}

struct State {
    rng: fastrand::Rng,
    plan: Plan,
    current: Option<Current>,
    functions: std::collections::BTreeMap<u64, Function>,
    alive: std::collections::BTreeSet<u64>,
    waiters: Vec<Waiter>,
    waited: u64,
    /// Calls begun and not done.
    busy: u32,
    crashed: bool,
    calls: u64,
    faults: std::collections::BTreeMap<u64, u32>,
    waker: Option<Waker>,
    story: Vec<String>,
}

/// See the head of this file.
pub(crate) struct Sched {
    pub(crate) clock: Clock,
    state: Mutex<State>,
}

impl Sched {
    pub(crate) fn new(seed: u64, plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            clock: Clock(Arc::new(AtomicI64::new(START * 1000))),
            state: Mutex::new(State {
                rng: fastrand::Rng::with_seed(seed),
                plan,
                current: None,
                functions: Default::default(),
                alive: Default::default(),
                waiters: Vec::new(),
                waited: 0,
                busy: 0,
                crashed: false,
                calls: 0,
                faults: Default::default(),
                waker: None,
                story: Vec::new(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A random number below `end`.
    pub(crate) fn below(&self, end: u32) -> u32 {
        self.state().rng.u32(..end)
    }

    pub(crate) fn tell(&self, line: String) {
        let second = (self.clock.millis() - START * 1000) as f64 / 1000.0;
        self.state().story.push(format!("{second:>10.1}s  {line}"));
    }

    pub(crate) fn story(&self) -> Vec<String> {
        self.state().story.clone()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Faults that met any invocation of a function.
    pub(crate) fn faults_in(&self, function: Function) -> u32 {
        let state = self.state();
        let faults = state.faults.iter();
        faults
            .filter(|(invocation, _)| state.functions[*invocation] == function)
            .map(|(_, faults)| faults)
            .sum()
    }

    /// Faults that met an invocation.
    pub(crate) fn faults_of(&self, invocation: u64) -> u32 {
        self.state().faults.get(&invocation).copied().unwrap_or(0)
    }

    pub(crate) fn current(&self) -> Option<Current> {
        self.state().current
    }

    /// Waits for the turn of a call. `None` outside of any invocation: nothing goes wrong there.
    pub(crate) async fn turn(&self, label: String, can_fail: bool) -> Fault {
        let granted = {
            let mut state = self.state();
            let Some(current) = state.current else {
                return Fault::None;
            };
            let (go, granted) = oneshot::channel();
            state.waited += 1;
            let number = state.waited;
            state.waiters.push(Waiter {
                invocation: current.invocation,
                number,
                go,
                label,
                can_fail,
            });
            if let Some(waker) = &state.waker {
                waker.wake_by_ref();
            }
            granted
        };
        match granted.await {
            Ok(fault) => fault,
            // Its invocation is no more.
            Err(_) => pending().await,
        }
    }

    /// Ends a call that had its turn.
    pub(crate) fn done(&self) {
        let mut state = self.state();
        if state.current.is_some() {
            state.busy = state.busy.saturating_sub(1);
        }
    }

    /// Ends the invocation: the driver drops it before it does anything else.
    pub(crate) async fn crash<T>(&self) -> T {
        {
            let mut state = self.state();
            state.crashed = true;
            if let Some(waker) = &state.waker {
                waker.wake_by_ref();
            }
        }
        pending().await
    }

    /// Whether some call waits.
    pub(crate) fn somebody_waits(&self) -> bool {
        !self.state().waiters.is_empty()
    }

    /// Lets a call proceed, drawn by the seed, and returns its invocation.
    pub(crate) fn grant(&self) -> u64 {
        let mut state = self.state();
        let among = state.waiters.len();
        let index = state.rng.usize(..among);
        let waiter = state.waiters.remove(index);
        let function = state.functions[&waiter.invocation];
        state.current = Some(Current {
            invocation: waiter.invocation,
            function,
        });
        state.busy = 1;
        state.calls += 1;
        let mut millis = state.rng.i64(0..CALL_MILLIS);
        let fault = draw(&mut state, function, waiter.can_fail);
        if state.plan.one_in > 0 && state.rng.u32(..SLOW_ONE_IN) == 0 {
            millis += state.rng.i64(0..SLOW_MILLIS);
        }
        let calls = state.calls;
        if fault != Fault::None {
            *state.faults.entry(waiter.invocation).or_default() += 1;
        }
        drop(state);
        self.clock.advance(millis);
        if fault != Fault::None {
            self.tell(format!(
                "{function:?}#{} {}: {fault:?} (call {calls})",
                waiter.invocation, waiter.label
            ));
        }
        // The receiver is gone only if its invocation is.
        let _gone = waiter.go.send(fault);
        waiter.invocation
    }

    pub(crate) fn begin(&self, invocation: u64, function: Function) {
        let mut state = self.state();
        state.functions.insert(invocation, function);
        state.alive.insert(invocation);
        state.current = Some(Current { invocation, function });
        state.busy = 0;
    }

    /// Whether the current invocation can do nothing more without a turn.
    pub(crate) fn is_blocked(&self, waker: &Waker) -> bool {
        let mut state = self.state();
        state.waker = Some(waker.clone());
        let Some(current) = state.current else {
            return true;
        };
        state.busy == 0
            && state
                .waiters
                .iter()
                .any(|waiter| waiter.invocation == current.invocation)
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// The current invocation gives way to the next.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.current = None;
        state.busy = 0;
        state.crashed = false;
    }

    /// The invocation is no more, nor what it waited for.
    pub(crate) fn forget(&self, invocation: u64) {
        let mut state = self.state();
        state.alive.remove(&invocation);
        state.waiters.retain(|waiter| waiter.invocation != invocation);
        // Kept in order: what is drawn must not depend on removals.
        state.waiters.sort_by_key(|waiter| waiter.number);
    }

    /// Whether an invocation is under way.
    pub(crate) fn is_alive(&self, invocation: u64) -> bool {
        self.state().alive.contains(&invocation)
    }

    pub(crate) fn count_fault(&self, invocation: u64) {
        *self.state().faults.entry(invocation).or_default() += 1;
    }
}

fn draw(state: &mut State, function: Function, can_fail: bool) -> Fault {
    if let Some((call, fault)) = state.plan.exactly {
        return if state.calls == call { fault } else { Fault::None };
    }
    if state.plan.one_in == 0 || state.rng.u32(..state.plan.one_in) != 0 {
        return Fault::None;
    }
    let left = if function == Function::Poster {
        &mut state.plan.in_poster
    } else {
        &mut state.plan.elsewhere
    };
    if *left == 0 {
        return Fault::None;
    }
    *left -= 1;
    let fault = Fault::EVERY[state.rng.usize(..Fault::EVERY.len())];
    match fault {
        Fault::CrashBefore | Fault::CrashAfter => fault,
        _ if can_fail => fault,
        _ => Fault::CrashBefore,
    }
}
