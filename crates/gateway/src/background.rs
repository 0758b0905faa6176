//! A thread beside those that answer requests, with a runtime of its own and less of a right to the CPU: what works in
//! batches for milliseconds at a time keeps no request waiting there. Knows none of the jobs. Tests: below.

use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How much nicer the thread is than those of requests: under full load it gets about a third of what one of them gets, so
/// that what it carries away is not kept waiting for ever either.
const NICER: i32 = 5;

/// The thread. It ends with [`Background::stop`], or when this is dropped.
pub struct Background {
    runtime: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Background {
    /// Starts the thread; fails if the system gives none.
    pub fn start() -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, started) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("background".to_owned()).spawn(move || {
            step_back(NICER);
            match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _ = ready.send(Ok(runtime.handle().clone()));
                    // That nobody is there to say it is an end too.
                    let _ = runtime.block_on(stopped);
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        })?;
        let runtime = started.recv().map_err(io::Error::other)??;
        Ok(Self { runtime, stop, thread })
    }

    /// Where jobs are spawned that are to run on it.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs this on the thread and waits for it. Threads that it starts are as nice. Fails if it panics.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
        #[expect(clippy::disallowed_methods, reason = "it is waited for here")]
        let work = self.runtime.spawn(work);
        work.await.map_err(io::Error::other)
    }

    /// Ends the thread. What still runs on it is dropped.
    pub fn stop(self) {
        // It may have ended by itself.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// Only Linux gives each thread a priority of its own; elsewhere it stays as the others.
#[cfg(target_os = "linux")]
fn step_back(nicer: i32) {
    let set = rustix::process::getpriority_process(None)
        .and_then(|nice| rustix::process::setpriority_process(None, nice + nicer));
    if let Err(error) = set {
        tracing::debug!(%error, "the background's thread keeps its priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back(_: i32) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Jobs;

    #[tokio::test]
    async fn jobs_run_on_the_thread_and_are_waited_for_like_all_others() {
        let background = Background::start().unwrap();
        let jobs = Jobs::new();
        let (said, hear) = oneshot::channel();
        jobs.on(background.runtime()).spawn("there", async move {
            let _ = said.send(std::thread::current().name().map(str::to_owned));
        });
        assert_eq!(hear.await.unwrap().as_deref(), Some("background"));
        let left = jobs.drain(tokio::time::Instant::now() + std::time::Duration::from_secs(5)).await;
        assert_eq!((left, jobs.live()), (vec![], 0));
        background.stop();
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_thread_and_those_it_starts_are_nicer_than_requests() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let background = Background::start().unwrap();
        let (own, child) =
            background.run(async move { (nice(), std::thread::spawn(nice).join().unwrap()) }).await.unwrap();
        assert_eq!((own, child), (nice() + NICER, nice() + NICER));
        background.stop();
    }
}
