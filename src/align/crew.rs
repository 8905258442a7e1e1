//! Several workers on one list of photos: each takes the next one, the caller's thread hears of each that is finished.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::Result;

/// Does `work` on all `jobs`, with each of the `workers` on a thread of its own.
///
/// `finished` runs on the caller's thread, in the order in which jobs end, so it may talk and write as it likes. When it
/// or a job fails, or when `stop` is set, jobs that have begun are finished and no other is begun.
///
/// # Errors
/// The first error of a job or of `finished`.
pub(super) fn share<J, W, F>(
    jobs: &[J],
    (workers, stop): (Vec<W>, &AtomicBool),
    work: impl Fn(&mut W, &J) -> Result<F> + Sync,
    mut finished: impl FnMut(F) -> Result<()>,
) -> Result<()>
where
    J: Sync,
    W: Send,
    F: Send,
{
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    let run = |mut worker: W, sender: mpsc::Sender<Result<F>>| {
        while !stop.load(Ordering::Relaxed) && !failed.load(Ordering::Relaxed) {
            let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let result = work(&mut worker, job);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            // The receiver outlives the workers.
            let _ = sender.send(result);
        }
    };
    thread::scope(|scope| {
        for worker in workers {
            let sender = sender.clone();
            scope.spawn(|| run(worker, sender));
        }
        drop(sender);
        let mut outcome = Ok(());
        for result in receiver {
            if let Err(error) = result.and_then(&mut finished) {
                failed.store(true, Ordering::Relaxed);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    })
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    static GO: AtomicBool = AtomicBool::new(false);

    fn work(_worker: &mut (), job: &u32) -> Result<u32> {
        if *job == 13 { bail!("job 13") } else { Ok(job * 2) }
    }

    #[test]
    fn every_job_is_done_once_by_any_number_of_workers() {
        for n_workers in [1, 3, 50] {
            let jobs: Vec<u32> = (100..140).collect();
            let mut done = Vec::new();
            let note = |job| {
                done.push(job);
                Ok(())
            };
            share(&jobs, (vec![(); n_workers], &GO), work, note).unwrap();
            done.sort();
            assert_eq!(done, jobs.iter().map(|job| job * 2).collect::<Vec<_>>());
        }
        share(&[], (vec![(); 3], &GO), work, |_| bail!("there is nothing to do")).unwrap();
    }

    #[test]
    fn a_failure_ends_the_work_and_is_told() {
        let jobs: Vec<u32> = (0..100_000).collect();
        let mut n_done = 0;
        let count = |_| {
            n_done += 1;
            Ok(())
        };
        let error = share(&jobs, (vec![(); 2], &GO), work, count).unwrap_err();
        assert_eq!(error.to_string(), "job 13");
        // The worker that failed begins nothing more, the other one may finish a job or be a few jobs ahead.
        assert!((12..90_000).contains(&n_done), "{n_done} jobs were done");
        let error = share(&jobs[..13], (vec![(); 2], &GO), work, |_| bail!("disk full")).unwrap_err();
        assert_eq!(error.to_string(), "disk full");
    }

    #[test]
    fn a_stop_keeps_what_is_finished() {
        let (jobs, stop): (Vec<u32>, _) = ((100..100_000).collect(), AtomicBool::new(false));
        let mut n_done = 0;
        let finished = |_| {
            n_done += 1;
            stop.fetch_or(n_done == 5, Ordering::Relaxed);
            Ok(())
        };
        let slow = |worker: &mut (), job: &u32| {
            thread::sleep(std::time::Duration::from_millis(1));
            work(worker, job)
        };
        share(&jobs, (vec![(); 2], &stop), slow, finished).unwrap();
        assert!((5..50_000).contains(&n_done), "{n_done} jobs were done");
    }
}
