//! A crew: the threads of a loader, which simultaneous calls share.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon_core::{ThreadPool, ThreadPoolBuilder};

use super::Threads;
use super::clock::{self, Sums, Times};
use super::pool::Results;
use super::stop::Seat;
use crate::error::{Error, Result};

/// A fixed number of threads that take jobs in the order in which calls submit them. While the last jobs of one call
/// run, the first jobs of the next begin, so that no thread waits for the end of a call. Their time is measured.
#[derive(Debug)]
pub struct Crew {
    /// Never dropped in a forked child, where its threads do not exist.
    pool: ManuallyDrop<ThreadPool>,
    process: u32,
    stopped: Arc<AtomicBool>,
    images: AtomicU64,
    spent: Sums,
}

impl Crew {
    /// So many threads.
    pub fn new(threads: Threads) -> Result<Self> {
        let builder = ThreadPoolBuilder::new().num_threads(threads.get());
        let pool = builder.thread_name(|index| format!("vlmres-crew-{index}")).build();
        let pool = pool.map_err(|error| Error::Argument(format!("{} threads: {error}", threads.get())))?;
        Ok(Self {
            pool: ManuallyDrop::new(pool),
            process: std::process::id(),
            stopped: Arc::default(),
            images: AtomicU64::new(0),
            spent: Sums::new(),
        })
    }

    /// How many they are.
    pub fn threads(&self) -> Threads {
        Threads::new(self.pool.current_num_threads())
    }

    /// Ends the work of all calls early, as [`super::stoppable`] does, for good.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// The number of images, and the time spent on them.
    pub fn times(&self) -> (u64, Times) {
        (self.images.load(Ordering::Relaxed), self.spent.read())
    }

    /// Runs `run` on every job and waits for the results, which come in the jobs' order. `images` says whether a job is an image.
    pub(crate) fn run<J: Sync, R: Send>(
        &self,
        jobs: &[J],
        images: bool,
        run: impl Fn(&J) -> R + Sync,
    ) -> Result<Vec<R>> {
        if self.process != std::process::id() {
            return Err(Error::Argument("the threads were made before this process was forked".into()));
        }
        let results = Results::new(jobs.len());
        self.run_all(jobs.len(), images, &|index| results.set(index, run(&jobs[index])));
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        Ok(results.into_vec())
    }

    /// Runs jobs by their numbers.
    fn run_all(&self, jobs: usize, images: bool, run: &(dyn Fn(usize) + Sync)) {
        let seat = Seat::of(&self.stopped);
        let work = |index: usize| {
            let ((), times) = clock::measured(|| seat.taken(|| run(index)));
            self.note(images, times);
        };
        // Jobs from outside a pool wait in one queue, first in, first out.
        self.pool.in_place_scope(|scope| {
            for index in 0..jobs {
                let work = &work;
                scope.spawn(move |_| work(index));
            }
        });
    }

    fn note(&self, is_image: bool, times: Times) {
        let times = if is_image { times } else { Times { write: times.total, ..times } };
        self.images.fetch_add(u64::from(is_image), Ordering::Relaxed);
        self.spent.add(times);
        clock::note(times);
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // SAFETY: it is not used again.
            unsafe { ManuallyDrop::drop(&mut self.pool) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::threads::is_stopped;

    #[test]
    fn results_come_in_order_and_work_is_counted() {
        let crew = Crew::new(Threads::new(3)).unwrap();
        let jobs: Vec<usize> = (0..50).collect();
        let results = crew.run(&jobs, true, |job| job * 2).unwrap();
        assert_eq!(results, jobs.iter().map(|job| job * 2).collect::<Vec<_>>());
        let slow = |_: &usize| clock::timed(clock::Phase::Decode, || std::thread::sleep(Duration::from_millis(2)));
        crew.run(&jobs[..2], true, slow).unwrap();
        let (images, times) = crew.times();
        assert_eq!(images, 52);
        assert!(times.decode >= Duration::from_millis(4) && times.total >= times.decode);
    }

    #[test]
    fn calls_side_by_side_share_the_threads_and_stop_together() {
        let crew = Crew::new(Threads::new(2)).unwrap();
        std::thread::scope(|scope| {
            let endless = || crew.run(&[0; 4], true, |_| while !is_stopped() {});
            let calls = [scope.spawn(endless), scope.spawn(endless)];
            std::thread::sleep(Duration::from_millis(20));
            crew.stop();
            for call in calls {
                assert!(matches!(call.join().unwrap(), Err(Error::Interrupted)));
            }
        });
    }
}
