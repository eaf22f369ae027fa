//! Memory for results: aligned, and returned to its pool on drop.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;
use std::sync::{Arc, Weak};

use super::{Buffer, HUGE_PAGE, LARGE, LINE, Pool, prefer_huge_pages};
use crate::error::Result;

/// Memory that begins at a cache line, so that lines are written whole, or at a huge page. Its contents are undefined.
#[derive(Debug)]
pub struct Aligned {
    start: NonNull<u8>,
    layout: Layout,
}

/// Memory that returns to its pool on drop. Its initial contents are undefined.
#[derive(Debug)]
pub struct Block {
    memory: Option<Aligned>,
    len: usize,
    home: Weak<Pool<Aligned>>,
}

// SAFETY: the memory belongs to its holder alone.
unsafe impl Send for Aligned {}
// SAFETY: a shared holder only learns the address.
unsafe impl Sync for Aligned {}

impl Pool<Aligned> {
    /// A block of `len` bytes. It returns to the pool even if it is larger than the pool's limit, which then grows.
    pub fn block(self: &Arc<Self>, len: usize) -> Result<Block> {
        Ok(Block { memory: Some(self.take(len)?), len, home: Arc::downgrade(self) })
    }
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
        if let (Some(memory), Some(home)) = (self.memory.take(), self.home.upgrade()) {
            home.give_any(memory);
        }
    }
}

impl Buffer for Aligned {
    fn fresh(bytes: usize) -> Option<Self> {
        let align = if bytes >= LARGE { HUGE_PAGE } else { LINE };
        let layout = Layout::from_size_align(bytes, align).ok().filter(|layout| layout.size() > 0)?;
        // SAFETY: the layout has at least one byte.
        let start = NonNull::new(unsafe { alloc(layout) })?;
        prefer_huge_pages(start.as_ptr(), bytes);
        Some(Self { start, layout })
    }

    fn capacity(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 256 << 20;

    fn free(pool: &Pool<Aligned>) -> usize {
        pool.0.lock().unwrap().buffers.iter().map(Aligned::capacity).sum()
    }

    #[test]
    fn a_block_comes_back_aligned_and_only_where_it_fits() {
        let pool = Arc::new(Pool::new(MOST));
        let block = pool.block(10 << 20).unwrap();
        let start = block.as_ptr();
        assert!(start.addr().is_multiple_of(HUGE_PAGE) && block.len() == 10 << 20 && !block.is_empty());
        drop(block);
        assert_eq!(pool.block(9 << 20).unwrap().as_ptr(), start);
        assert_ne!(pool.block(11 << 20).unwrap().as_ptr(), start);
        let small = pool.block(1 << 20).unwrap();
        assert!(small.as_ptr().addr().is_multiple_of(LINE) && small.as_ptr() != start);
        assert!(pool.block(0).unwrap().is_empty());
        assert!(pool.block(usize::MAX).is_err());
    }

    #[test]
    fn what_is_kept_grows_with_the_largest_and_may_outlive_the_pool() {
        let pool = Arc::new(Pool::new(MOST));
        let blocks: Vec<_> = (0..40).map(|_| pool.block(32 << 20).unwrap()).collect();
        drop(blocks);
        assert_eq!(free(&pool), MOST);
        drop(pool.block(2 * MOST).unwrap());
        assert_eq!(free(&pool), 2 * MOST);
        let block = pool.block(100).unwrap();
        drop(pool);
        drop(block);
    }
}
