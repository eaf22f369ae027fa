//! A value that is replaced and never freed, read without a lock.

use std::ptr;

#[cfg(loom)]
use loom::sync::atomic::{AtomicPtr, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicPtr, Ordering};

/// The latest of several values. Those that were replaced stay where they are: others may be using them.
///
/// No lock is taken, because a fork may happen while another thread holds it.
pub(super) struct Latest<T: 'static>(AtomicPtr<T>);

impl<T: Send + Sync> Latest<T> {
    /// None yet.
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The latest value where it is fit. Else one is made and becomes the latest, unless another thread was quicker with one that
    /// is fit. Nothing where none can be made.
    pub(super) fn get(&self, is_fit: impl Fn(&T) -> bool, make: impl Fn() -> Option<T>) -> Option<&'static T> {
        let mut current = self.0.load(Ordering::Acquire);
        loop {
            // SAFETY: what is stored was leaked, so it lives as long as the process.
            if let Some(latest) = unsafe { current.as_ref() }
                && is_fit(latest)
            {
                return Some(latest);
            }
            let made = Box::into_raw(Box::new(make()?));
            match self.0.compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => current = made,
                Err(other) => {
                    // SAFETY: nobody else has seen it.
                    drop(unsafe { Box::from_raw(made) });
                    current = other;
                }
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// Something that is read without a lock: loom sees where it was not published.
    struct Value(UnsafeCell<usize>);

    // SAFETY: it is written before it is shared.
    unsafe impl Sync for Value {}

    fn read(value: &Value) -> usize {
        // SAFETY: nobody writes it any more.
        value.0.with(|value| unsafe { *value })
    }

    #[test]
    fn every_thread_gets_one_that_is_fit() {
        loom::model(|| {
            let latest: Arc<Latest<Value>> = Arc::new(Latest::new());
            let wanted = |size: usize| {
                let latest = Arc::clone(&latest);
                move || {
                    let fit = |value: &Value| read(value) >= size;
                    let value = latest.get(fit, || Some(Value(UnsafeCell::new(size)))).unwrap();
                    assert!(read(value) >= size);
                }
            };
            let threads = [thread::spawn(wanted(1)), thread::spawn(wanted(2))];
            for thread in threads {
                thread.join().unwrap();
            }
            assert!(latest.get(|value| read(value) >= 1, || None).is_some());
        });
    }
}
