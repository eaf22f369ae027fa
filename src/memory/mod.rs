//! Buffer pools. Fresh memory costs a page fault for every four kilobytes, which takes longer than filling it.
//!
//! Decoded images have a pool of vectors, which decoders fill. Each processor has a pool of raw memory for results,
//! aligned to cache lines or huge pages.

mod block;

use std::alloc::{Layout, alloc_zeroed};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Mutex;

pub use block::{Aligned, Block};

use crate::error::{Error, Result};

/// Most buffers of a pool: a request looks at each of them.
const MOST_BUFFERS: usize = 256;
/// From this size on, memory uses huge pages.
const LARGE: usize = 4 << 20;
/// Bytes of a huge page.
const HUGE_PAGE: usize = 2 << 20;
/// Bytes of a cache line.
const LINE: usize = 64;

/// A pool of free buffers.
///
/// No method waits for another thread, because a fork may happen while that thread holds the lock. A caller that cannot
/// take the lock allocates a fresh buffer, and frees a buffer instead of returning it.
#[derive(Debug)]
pub struct Pool<B>(Mutex<Free<B>>);

#[derive(Debug)]
struct Free<B> {
    /// Oldest first.
    buffers: VecDeque<B>,
    /// Most bytes that are kept.
    most: usize,
    /// The limit grows to this many times the largest result.
    results: usize,
}

/// A kind of buffer that a pool keeps.
pub trait Buffer: Sized {
    /// A fresh buffer of this many bytes; none if the system has not enough memory.
    fn fresh(bytes: usize) -> Option<Self>;

    /// Its capacity in bytes.
    fn capacity(&self) -> usize;
}

impl<B> Pool<B> {
    /// A pool that keeps at most this many bytes.
    pub const fn new(most: usize) -> Self {
        Self::of_results(most, 1)
    }

    /// As `new`, but it may keep this many times the largest result, if that is more.
    pub const fn of_results(most: usize, results: usize) -> Self {
        Self(Mutex::new(Free { buffers: VecDeque::new(), most, results }))
    }

    /// Frees all buffers.
    pub fn trim(&self) {
        if let Ok(mut free) = self.0.try_lock() {
            free.buffers.clear();
        }
    }
}

impl<B: Buffer> Pool<B> {
    /// A buffer for `bytes`: the smallest that fits and is not twice as large, else a fresh one. Old contents remain.
    pub fn take(&self, bytes: usize) -> Result<B> {
        let used = self.0.try_lock().ok().and_then(|mut free| free.find(bytes));
        used.or_else(|| B::fresh(capacity(bytes))).ok_or(Error::Memory { bytes })
    }

    /// Keeps a buffer, unless it alone is over the limit. The oldest buffers are freed if all together are over it.
    pub fn give(&self, buffer: B) {
        if let Ok(mut free) = self.0.try_lock() {
            free.keep(buffer);
        }
    }

    /// Keeps a buffer of any size, and raises the pool's limit if needed.
    fn give_any(&self, buffer: B) {
        if let Ok(mut free) = self.0.try_lock() {
            free.most = free.most.max(buffer.capacity().saturating_mul(free.results));
            free.keep(buffer);
        }
    }
}

impl<B: Buffer> Free<B> {
    fn find(&mut self, bytes: usize) -> Option<B> {
        let fits = |buffer: &B| (bytes..=bytes.saturating_mul(2)).contains(&buffer.capacity());
        let sizes = self.buffers.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        let (index, _) = sizes.min_by_key(|(_, buffer)| buffer.capacity())?;
        self.buffers.remove(index)
    }

    fn keep(&mut self, buffer: B) {
        if buffer.capacity() > self.most {
            return;
        }
        self.buffers.push_back(buffer);
        while self.buffers.len() > MOST_BUFFERS || self.buffers.iter().map(B::capacity).sum::<usize>() > self.most {
            self.buffers.pop_front();
        }
    }
}

/// Resizes a buffer to `len` values; an error if there is no memory.
pub fn try_resize<T: Clone>(buffer: &mut Vec<T>, len: usize, value: T) -> Result<()> {
    if len > buffer.capacity() {
        try_reserve(buffer, len - buffer.len())?;
    }
    buffer.resize(len, value);
    Ok(())
}

/// Reserves room for more values; an error if there is no memory.
pub fn try_reserve<T>(buffer: &mut Vec<T>, more: usize) -> Result<()> {
    let bytes = buffer.len().saturating_add(more).saturating_mul(size_of::<T>());
    buffer.try_reserve_exact(more).map_err(|_| Error::Memory { bytes })
}

/// A vector of equal values.
pub fn filled<T: Clone>(len: usize, value: T) -> Result<Vec<T>> {
    let mut buffer = Vec::new();
    try_resize(&mut buffer, len, value)?;
    Ok(buffer)
}

/// A vector of zeros; nothing if the system has no memory. Pages that are never written cost nothing.
pub fn zeroed<const N: usize>(count: usize) -> Option<Vec<[i16; N]>> {
    let layout = Layout::array::<[i16; N]>(count).ok()?;
    if layout.size() == 0 {
        return Some(Vec::new());
    }
    // SAFETY: the layout has at least one byte.
    let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
    #[allow(clippy::same_length_and_capacity)] // it is made with both alike
    // SAFETY: the memory has this layout, and zeros are numbers.
    Some(unsafe { Vec::from_raw_parts(start.cast().as_ptr(), count, count) })
}

/// An error if the system has not this many bytes. It is checked before foreign code allocates, which would abort the
/// process.
pub fn probe(bytes: usize) -> Result<()> {
    if bytes < LARGE {
        return Ok(());
    }
    try_reserve::<u8>(&mut Vec::new(), bytes)
}

/// The length of a vector is what an earlier user initialised.
impl Buffer for Vec<u8> {
    fn fresh(bytes: usize) -> Option<Self> {
        let mut buffer = Self::new();
        buffer.try_reserve_exact(bytes).ok()?;
        prefer_huge_pages(buffer.as_mut_ptr(), bytes);
        Some(buffer)
    }

    fn capacity(&self) -> usize {
        self.capacity()
    }
}

/// Bytes to allocate for `len`: one of few sizes, so that images of similar size share memory. Pages that are never
/// written cost nothing.
fn capacity(len: usize) -> usize {
    let step = (len.max(LINE).checked_next_power_of_two().unwrap_or(LINE) / 8).max(LINE);
    len.max(1).checked_next_multiple_of(step).unwrap_or(len)
}

/// Asks for huge pages, if fresh memory is large enough for them.
#[cfg_attr(any(not(target_os = "linux"), miri), allow(unused_variables))] // Miri has no such call
fn prefer_huge_pages(start: *mut u8, bytes: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    if bytes >= LARGE {
        let skipped = start.addr().next_multiple_of(HUGE_PAGE) - start.addr();
        let len = (bytes - skipped) / HUGE_PAGE * HUGE_PAGE;
        // SAFETY: whole pages, and advice that changes no byte. Where it is refused, pages are small.
        unsafe { libc::madvise(start.wrapping_add(skipped).cast(), len, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(pool: &Pool<Vec<u8>>) -> usize {
        pool.0.lock().unwrap().buffers.iter().map(Vec::capacity).sum()
    }

    #[test]
    fn a_buffer_comes_back_only_where_it_fits_with_what_it_holds() {
        let pool = Pool::new(64 << 20);
        let mut buffer: Vec<u8> = pool.take(10_000).unwrap();
        assert!(buffer.is_empty());
        buffer.resize(9_000, 7);
        let (start, room) = (buffer.as_ptr(), buffer.capacity());
        pool.give(buffer);
        assert!(pool.take(room + 1).unwrap().capacity() > room);
        assert!(pool.take(room / 2 - 1).unwrap().capacity() < room);
        pool.give(Vec::with_capacity(room + 100));
        let buffer = pool.take(room - 5).unwrap();
        assert_eq!((buffer.as_ptr(), buffer.len()), (start, 9_000));
    }

    #[test]
    #[cfg_attr(miri, ignore = "looks at 24 MB, byte by byte")]
    fn large_memory_is_fresh_memory_too() {
        let pool: Pool<Vec<u8>> = Pool::new(64 << 20);
        for bytes in [LARGE - 1, LARGE, LARGE + 1, 3 * LARGE + 12_345] {
            let mut buffer = pool.take(bytes).unwrap();
            buffer.resize(bytes, 1);
            assert!(buffer.iter().all(|&byte| byte == 1));
        }
        let error = pool.take(usize::MAX).unwrap_err().to_string();
        assert!(error.contains(&usize::MAX.to_string()), "{error}");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let most = 64 << 20;
        let pool = Pool::new(most);
        for _ in 0..20 {
            pool.give(Vec::with_capacity(most / 3));
        }
        assert_eq!(free(&pool), most / 3 * 3);
        pool.give(Vec::with_capacity(most + 1));
        assert_eq!(free(&pool), most / 3 * 3);
        for _ in 0..2 * MOST_BUFFERS {
            pool.give(Vec::with_capacity(100));
        }
        assert_eq!(pool.0.lock().unwrap().buffers.len(), MOST_BUFFERS);
        pool.trim();
        assert_eq!(free(&pool), 0);
    }

    #[test]
    fn nobody_waits() {
        let pool: Pool<Vec<u8>> = Pool::new(64 << 20);
        let held = pool.0.lock().unwrap();
        let buffer = pool.take(100).unwrap();
        assert!(buffer.capacity() >= 100);
        pool.give(buffer);
        pool.trim();
        assert!(held.buffers.is_empty());
    }
}
