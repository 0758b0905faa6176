//! Owns every spawned task: nothing runs that nobody waits for, and a panic ends one job, never the process.
//! Knows nothing of what the jobs do. Tests: below.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

/// The tasks of one process (or one test). Clones share the same set.
#[derive(Clone, Default)]
pub struct Jobs {
    shared: Arc<Shared>,
    /// Where tasks are spawned, if not where the caller is.
    runtime: Option<Handle>,
}

#[derive(Default)]
struct Shared {
    live: Mutex<Live>,
    changed: Notify,
    stopping: AtomicBool,
    panics: AtomicU64,
}

#[derive(Default)]
struct Live {
    next: u64,
    tasks: HashMap<u64, (&'static str, AbortHandle)>,
}

pin_project! {
    /// A job with its place in the set, which it leaves when it ends. An `async` block would keep the job twice: as what it
    /// was given, and as what it waits for.
    struct Entered<J> {
        #[pin]
        job: J,
        entry: Entry,
    }
}

impl<J: Future<Output = ()>> Future for Entered<J> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().job.poll(cx)
    }
}

impl Jobs {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same set; what is spawned by this runs on that runtime, which must live until [`Jobs::drain`] is over.
    pub fn on(&self, runtime: &Handle) -> Self {
        Self { shared: Arc::clone(&self.shared), runtime: Some(runtime.clone()) }
    }

    /// Runs `job` on the runtime of [`Jobs::on`], else on the current one. `name` says in logs and in [`Jobs::drain`]'s answer what it was.
    pub fn spawn(&self, name: &'static str, job: impl Future<Output = ()> + Send + 'static) {
        // The lock is held over the spawn, so that a job which ends at once is removed after it was added.
        let mut live = self.shared.lock();
        let id = live.next;
        live.next += 1;
        let entry = Entry { shared: Arc::clone(&self.shared), id, name };
        let entered = Entered { job, entry };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
        let task = match &self.runtime {
            Some(runtime) => runtime.spawn(entered),
            None => tokio::spawn(entered),
        };
        live.tasks.insert(id, (name, task.abort_handle()));
    }

    /// Runs `work` to its end, although whoever waits for it may be gone by then. Answers what it came to; nothing if it panicked or
    /// was aborted.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        self.spawn(name, async move { drop(tell.send(work.await)) });
        told.await.ok()
    }

    /// How many jobs have not ended.
    pub fn live(&self) -> usize {
        self.shared.lock().tasks.len()
    }

    /// How many jobs ended in a panic since the start.
    pub fn panics(&self) -> u64 {
        self.shared.panics.load(Ordering::Relaxed)
    }

    /// Resolves when [`Jobs::drain`] begins. A job without an end of its own must wait for this beside its work.
    pub async fn stopping(&self) {
        loop {
            let changed = self.shared.changed.notified();
            if self.shared.stopping.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }

    /// Tells the jobs to stop and waits for them; those alive at `deadline` are aborted. Answers the names of those.
    pub async fn drain(&self, deadline: Instant) -> Vec<&'static str> {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.changed.notify_waiters();
        if timeout_at(deadline, self.emptied()).await.is_ok() {
            return Vec::new();
        }
        let live = self.shared.lock();
        live.tasks.values().for_each(|(_, task)| task.abort());
        live.tasks.values().map(|(name, _)| *name).collect()
    }

    async fn emptied(&self) {
        loop {
            let changed = self.shared.changed.notified();
            if self.live() == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// HTTP/2 needs a task per stream on the serving side; these are owned like all others.
impl<F> hyper::rt::Executor<F> for Jobs
where
    F: Future + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.spawn("http2", async move {
            stream.await;
        });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lives inside the task and takes it off the list when the task ends in whatever way.
struct Entry {
    shared: Arc<Shared>,
    id: u64,
    name: &'static str,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(job = self.name, "a job panicked and was ended");
        }
        let last = {
            let mut live = self.shared.lock();
            live.tasks.remove(&self.id);
            live.tasks.is_empty()
        };
        if last {
            self.shared.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test(start_paused = true)]
    async fn drain_waits_for_a_job_that_ends_in_time() {
        let jobs = Jobs::new();
        jobs.spawn("slow", tokio::time::sleep(Duration::from_secs(3)));
        let start = Instant::now();
        assert_eq!(jobs.drain(soon()).await, Vec::<&str>::new());
        assert_eq!((jobs.live(), start.elapsed().as_secs()), (0, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn drain_aborts_and_names_a_job_that_does_not_end() {
        let jobs = Jobs::new();
        jobs.spawn("stuck", std::future::pending());
        assert_eq!(jobs.drain(soon()).await, vec!["stuck"]);
        jobs.emptied().await;
        assert_eq!(jobs.live(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_to_go_to_its_end_does_so_though_nobody_waits() {
        let jobs = Jobs::new();
        let work = async { tokio::time::sleep(Duration::from_secs(3)).await };
        assert!(tokio::time::timeout(Duration::from_secs(1), jobs.to_the_end("work", work)).await.is_err());
        let start = Instant::now();
        assert_eq!((jobs.live(), jobs.drain(soon()).await), (1, Vec::<&str>::new()));
        assert_eq!(start.elapsed().as_secs(), 2);
        assert_eq!(jobs.to_the_end("work", async { 7 }).await, Some(7));
        assert_eq!(jobs.to_the_end("panic", async { panic!("on purpose") }).await, None::<()>);
    }

    #[tokio::test(start_paused = true)]
    async fn drain_tells_an_endless_job_to_stop() {
        let jobs = Jobs::new();
        let own = jobs.clone();
        jobs.spawn("sweeper", async move { own.stopping().await });
        assert_eq!(jobs.drain(soon()).await, Vec::<&str>::new());
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_leaves_the_other_jobs_alone() {
        let jobs = Jobs::new();
        let (done, survived) = tokio::sync::oneshot::channel();
        jobs.spawn("bad", async { panic!("as the test wants") });
        jobs.spawn("good", async move {
            let _ = done.send(());
        });
        survived.await.unwrap();
        jobs.emptied().await;
        assert_eq!((jobs.panics(), jobs.live()), (1, 0));
    }
}
