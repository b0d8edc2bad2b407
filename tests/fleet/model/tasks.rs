//! Invocations under way. Unlike a runtime it knows when none of them can go on before time passes.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

type Ready = Arc<Mutex<VecDeque<usize>>>;

struct Call {
    index: usize,
    ready: Ready,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap().push_back(self.index);
    }
}

struct Task<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    waker: Waker,
}

/// Futures that end with a `T`.
pub(crate) struct Tasks<T> {
    slots: Vec<Option<Task<T>>>,
    free: Vec<usize>,
    ready: Ready,
}

impl<T> Tasks<T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ready: Ready::default(),
        }
    }

    pub(crate) fn start(&mut self, future: impl Future<Output = T> + 'static) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let ready = Arc::clone(&self.ready);
        self.slots[index] = Some(Task {
            future: Box::pin(future),
            waker: Waker::from(Arc::new(Call { index, ready })),
        });
        self.ready.lock().unwrap().push_back(index);
    }

    pub(crate) fn can_go_on(&self) -> bool {
        !self.ready.lock().unwrap().is_empty()
    }

    /// Lets those go on that can, until one of them ends; `None` if all wait.
    pub(crate) fn step(&mut self) -> Option<T> {
        loop {
            let index = self.ready.lock().unwrap().pop_front()?;
            let Some(task) = &mut self.slots[index] else {
                continue; // it was woken twice, and has ended
            };
            let waker = task.waker.clone();
            if let Poll::Ready(done) = task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.slots[index] = None;
                self.free.push(index);
                return Some(done);
            }
        }
    }
}
