//! Where rows of RGB are made: in memory of all of an image's, of those that were made last, or of a part of it.

/// Memory for rows that are made from the first to the last.
pub(super) trait Rows {
    /// Row `y`, to be made: what it holds has no meaning.
    fn row_mut(&mut self, y: usize) -> &mut [u8];
}

/// Rows that are kept, each until another takes its place.
pub(super) struct Kept {
    memory: Vec<u8>,
    /// How many there is room for.
    count: usize,
    /// Bytes of a row.
    len: usize,
}

impl Kept {
    /// Room for so many rows of `len` bytes, in memory of earlier ones; nothing where memory lacks.
    pub(super) fn new(mut memory: Vec<u8>, count: usize, len: usize) -> Option<Self> {
        let bytes = count * len;
        memory.truncate(bytes);
        memory.try_reserve_exact(bytes - memory.len()).ok()?;
        Some(Self { memory, count, len })
    }

    /// Row `y`.
    pub(super) fn row(&self, y: usize) -> &[u8] {
        &self.memory[y % self.count * self.len..][..self.len]
    }

    /// Memory of all of them.
    pub(super) fn all_mut(&mut self) -> &mut [u8] {
        self.memory.resize(self.count * self.len, 0);
        &mut self.memory
    }

    /// As [`Self::all_mut`], of those that were made.
    pub(super) fn into_memory(self) -> Vec<u8> {
        self.memory
    }
}

impl Rows for Kept {
    fn row_mut(&mut self, y: usize) -> &mut [u8] {
        let start = y % self.count * self.len;
        // A row at a time, so that zeros are written into cache, and none where the memory was used before.
        if self.memory.len() < start + self.len {
            self.memory.resize(start + self.len, 0);
        }
        &mut self.memory[start..start + self.len]
    }
}

/// Some rows of an image.
pub(super) struct Part<'m> {
    pub(super) memory: &'m mut [u8],
    /// The first of them.
    pub(super) first: usize,
    /// Bytes of a row.
    pub(super) len: usize,
}

impl Rows for Part<'_> {
    fn row_mut(&mut self, y: usize) -> &mut [u8] {
        &mut self.memory[(y - self.first) * self.len..][..self.len]
    }
}
