//! Output memory that comes back: fresh memory costs more than the work that fills it, a page fault for every four kilobytes.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, Weak};

use crate::error::{Error, Result};

/// Free memory that is always kept, in bytes. More is kept only up to the largest block that was asked for.
const KEPT: usize = 256 << 20;
/// From so many bytes on, memory begins and ends with a huge page.
const LARGE: usize = 4 << 20;
/// Bytes of a huge page.
const HUGE_PAGE: usize = 2 << 20;
/// Alignment of all memory: a cache line, so that lines are written whole.
const LINE: usize = 64;

/// Blocks of memory that return when they are dropped.
#[derive(Debug, Default)]
pub struct Pool(Arc<Mutex<Free>>);

#[derive(Debug, Default)]
struct Free {
    /// Oldest first.
    memory: VecDeque<Memory>,
    /// Bytes of the largest block so far.
    largest: usize,
}

/// Memory of a pool. What it holds at first has no meaning.
#[derive(Debug)]
pub struct Block {
    memory: Option<Memory>,
    len: usize,
    home: Weak<Mutex<Free>>,
}

#[derive(Debug)]
struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the memory belongs to its holder alone.
unsafe impl Send for Memory {}
// SAFETY: a shared holder only learns the address.
unsafe impl Sync for Memory {}

impl Pool {
    /// A block of `len` bytes, aligned to a cache line: used before if there is one that is not twice as large.
    pub fn take(&self, len: usize) -> Result<Block> {
        let mut found = None;
        // Never waits: a fork may happen while another thread holds the lock.
        if let Ok(mut free) = self.0.try_lock() {
            free.largest = free.largest.max(capacity(len));
            let fits = |memory: &Memory| (len..=len.saturating_mul(2)).contains(&memory.layout.size());
            let sizes = free.memory.iter().enumerate().filter(|(_, memory)| fits(memory));
            let index = sizes.min_by_key(|(_, memory)| memory.layout.size()).map(|(index, _)| index);
            found = index.and_then(|index| free.memory.remove(index));
        }
        let memory = match found {
            Some(memory) => memory,
            None => Memory::new(capacity(len)).ok_or(Error::Memory { bytes: len })?,
        };
        Ok(Block { memory: Some(memory), len, home: Arc::downgrade(&self.0) })
    }

    /// Gives free memory back to the system.
    pub fn trim(&self) {
        if let Ok(mut free) = self.0.try_lock() {
            free.memory.clear();
        }
    }
}

/// Bytes that are taken for `len`: a few sizes, so that images of about one size share memory. Pages that nobody writes
/// cost nothing.
fn capacity(len: usize) -> usize {
    let step = (len.max(LINE).next_power_of_two() / 8).max(LINE);
    len.max(1).checked_next_multiple_of(step).unwrap_or(len)
}

impl Block {
    /// Where it begins.
    pub fn as_ptr(&self) -> *mut u8 {
        self.memory.as_ref().map_or(std::ptr::null_mut(), |memory| memory.start.as_ptr())
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let (Some(memory), Some(home)) = (self.memory.take(), self.home.upgrade()) else { return };
        let Ok(mut free) = home.try_lock() else { return };
        free.memory.push_back(memory);
        let most = KEPT.max(free.largest);
        while free.memory.iter().map(|memory| memory.layout.size()).sum::<usize>() > most {
            free.memory.pop_front();
        }
    }
}

impl Memory {
    fn new(bytes: usize) -> Option<Self> {
        let align = if bytes >= LARGE { HUGE_PAGE } else { LINE };
        let layout = Layout::from_size_align(bytes, align).ok()?;
        // SAFETY: the layout has at least one byte.
        let start = NonNull::new(unsafe { alloc(layout) })?;
        #[cfg(target_os = "linux")]
        if bytes >= LARGE {
            // SAFETY: the range is ours, and begins with a page. Where the advice is refused, pages are small.
            unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        }
        Some(Self { start, layout })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(pool: &Pool) -> usize {
        pool.0.lock().unwrap().memory.iter().map(|memory| memory.layout.size()).sum()
    }

    #[test]
    fn memory_comes_back_aligned_and_only_where_it_fits() {
        let pool = Pool::default();
        let block = pool.take(10 << 20).unwrap();
        let start = block.as_ptr();
        assert!((start as usize).is_multiple_of(LINE) && block.len() == 10 << 20);
        drop(block);
        assert_eq!(pool.take(9 << 20).unwrap().as_ptr(), start);
        assert_ne!(pool.take(11 << 20).unwrap().as_ptr(), start);
        assert_ne!(pool.take(1 << 20).unwrap().as_ptr(), start);
        pool.trim();
        assert_eq!(free(&pool), 0);
    }

    #[test]
    fn what_is_kept_is_bounded_and_may_outlive_the_pool() {
        let pool = Pool::default();
        let blocks: Vec<_> = (0..40).map(|_| pool.take(32 << 20).unwrap()).collect();
        drop(blocks);
        assert!(free(&pool) <= KEPT, "{}", free(&pool));
        let large = pool.take(2 * KEPT).unwrap();
        drop(large);
        assert!(free(&pool) >= 2 * KEPT);
        let block = pool.take(100).unwrap();
        drop(pool);
        drop(block);
    }
}
