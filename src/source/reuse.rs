//! Memory of decoded images, kept for the next: fresh memory costs more than a decoder's last steps.

use std::sync::Mutex;

/// More than this is given back to the system.
const MOST_BUFFERS: usize = 8;
const MOST_BYTES: usize = 64 << 20;

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Memory for so many bytes, used before or not. Its contents are of no meaning.
pub(super) fn take(bytes: usize) -> Vec<u8> {
    // Never waits: a fork may happen while another thread holds the lock.
    let Ok(mut kept) = KEPT.try_lock() else { return Vec::new() };
    // The smallest that is large enough, unless it is a waste.
    let fits = |buffer: &&Vec<u8>| (bytes..=bytes.saturating_mul(4)).contains(&buffer.capacity());
    let found = kept.iter().filter(fits).map(Vec::capacity).min();
    let index = found.and_then(|capacity| kept.iter().position(|buffer| buffer.capacity() == capacity));
    index.map(|index| kept.swap_remove(index)).unwrap_or_default()
}

/// Keeps memory that is no longer needed.
pub(super) fn give(buffer: Vec<u8>) {
    if buffer.capacity() > MOST_BYTES {
        return;
    }
    let Ok(mut kept) = KEPT.try_lock() else { return };
    kept.push(buffer);
    while kept.len() > MOST_BUFFERS || kept.iter().map(Vec::capacity).sum::<usize>() > MOST_BYTES {
        kept.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_where_it_fits_and_is_bounded() {
        let bytes = 12_345_678;
        give(vec![7; bytes]);
        assert_eq!(take(bytes - 5).capacity(), bytes);
        assert_eq!(take(bytes - 5).capacity(), 0);
        give(vec![7; bytes]);
        assert_eq!(take(bytes / 8).capacity(), 0);
        for _ in 0..20 {
            give(Vec::with_capacity(MOST_BYTES / 3));
        }
        assert!(KEPT.lock().unwrap().iter().map(Vec::capacity).sum::<usize>() <= MOST_BYTES);
        give(Vec::with_capacity(MOST_BYTES + 1));
        assert!(KEPT.lock().unwrap().iter().all(|buffer| buffer.capacity() <= MOST_BYTES));
    }
}
