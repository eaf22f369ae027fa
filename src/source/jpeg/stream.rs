//! A scan's bits where a marker follows them: read ahead as far as convenient, for no file ends within them.

use super::frame::Stop;
use super::huffman::{Decoder, Joint, extend};
use super::markers::Markers;

/// Bytes read ahead at most.
const WINDOW: usize = 16 << 10;
/// More than the bytes of any unit.
const UNIT: usize = 2700;

/// Bytes that are read ahead.
#[derive(Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// From here on they are zeros.
    used: usize,
}

impl Window {
    fn resize(&mut self, length: usize) {
        self.bytes.resize(length, 0);
        self.used = self.used.min(length);
    }

    /// Makes zeros of what is behind the first bytes.
    fn clear_from(&mut self, end: usize) {
        if end < self.used {
            self.bytes[end..self.used].fill(0);
            self.used = end;
        }
    }
}

/// The bits of a scan, or of an interval between restarts.
pub(super) struct Stream<'a> {
    bytes: &'a [u8],
    /// Where the bytes begin that are still to be taken into the window.
    at: usize,
    /// Entropy-coded bytes without what is stuffed between them, then room for a unit; zeros where their end is reached.
    window: Window,
    filled: usize,
    /// The next bit.
    position: usize,
    /// A marker that ends the data, or 0.
    marker: u8,
    /// The file itself ends.
    cut: bool,
    /// Of the bytes of 0xff at one place in the data there were several.
    pub(super) is_odd: bool,
}

impl<'a> Stream<'a> {
    /// The bits from some byte on, with the window of an earlier scan.
    pub(super) fn new(bytes: &'a [u8], at: usize, mut window: Window) -> Self {
        window.resize((bytes.len().saturating_sub(at) + 1).min(WINDOW) + UNIT);
        Self { bytes, at, window, filled: 0, position: 0, marker: 0, cut: false, is_odd: false }
    }

    /// The window, for the next scan.
    pub(super) fn into_window(self) -> Window {
        self.window
    }

    /// Goes on at the place of `markers`. Where that is at a marker still, no bits follow, and it stays starved if it was.
    pub(super) fn restart(&mut self, markers: &Markers<'a>) {
        let starved = self.starved();
        (self.at, self.marker) = (markers.at, markers.pending);
        (self.filled, self.position) = (0, 0);
        if self.marker != 0 {
            self.window.clear_from(0);
            self.position = usize::from(starved);
        }
    }

    /// Gives `markers` the place at which the bits end, or one before it.
    pub(super) fn finish(&self, markers: &mut Markers<'a>) {
        (markers.at, markers.pending) = (self.at, self.marker);
    }

    /// The marker that ended the data, if it was met.
    pub(super) fn marker(&self) -> u8 {
        self.marker
    }

    /// Whether bits were read that are not there.
    pub(super) fn starved(&self) -> bool {
        self.position > self.filled * 8 && self.ended()
    }

    /// Whether the file ends within the bits read.
    pub(super) fn is_cut(&self) -> bool {
        self.cut && self.starved()
    }

    fn ended(&self) -> bool {
        self.marker != 0 || self.cut
    }

    /// Takes in what a unit needs.
    #[inline]
    pub(super) fn prepare(&mut self) {
        if self.position / 8 + UNIT > self.filled && !self.ended() {
            self.slide();
        }
    }

    #[inline(never)]
    fn slide(&mut self) {
        let start = self.position / 8;
        self.window.bytes.copy_within(start..self.filled, 0);
        self.position %= 8;
        self.filled -= start;
        let most = self.window.bytes.len() - UNIT;
        while self.filled < most {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let ahead = &rest[..rest.len().min(most - self.filled)];
            let taken = copy_to_ff(ahead, &mut self.window.bytes[self.filled..]);
            self.filled += taken;
            self.at += taken;
            if taken < ahead.len() {
                // Bytes of 0xff: the last is one of the data, if a zero follows.
                let Some(more) = rest[taken..].iter().position(|&byte| byte != 0xff) else {
                    (self.at, self.cut) = (self.bytes.len(), true);
                    break;
                };
                self.at += more + 1;
                if rest[taken + more] != 0 {
                    self.marker = rest[taken + more];
                    break;
                }
                self.is_odd |= more > 1;
                self.window.bytes[self.filled] = 0xff;
                self.filled += 1;
            } else if taken == rest.len() {
                self.cut = true;
                break;
            }
        }
        // Bytes are copied eight at a time.
        self.window.used = self.window.used.max(self.filled + 8).min(self.window.bytes.len());
        if self.ended() {
            self.window.clear_from(self.filled);
        }
    }

    /// The bits at hand, the next of them highest: at least 57.
    #[inline]
    pub(super) fn peek(&self, position: usize) -> u64 {
        let at = position / 8;
        let word = self.window.bytes.get(at..at + 8).and_then(<[u8]>::first_chunk::<8>);
        word.map_or(0, |word| u64::from_be_bytes(*word) << (position % 8))
    }

    #[inline]
    pub(super) fn position(&self) -> usize {
        self.position
    }

    #[inline]
    pub(super) fn set_position(&mut self, position: usize) {
        self.position = position;
    }

    /// So many bits, 32 at most.
    #[inline]
    pub(super) fn get(&mut self, bits: u32) -> u32 {
        let found = self.peek(self.position) >> 32 >> (32 - bits);
        self.position += bits as usize;
        found as u32
    }

    /// The next symbol.
    #[inline]
    pub(super) fn symbol(&mut self, table: &Decoder) -> u32 {
        let (symbol, length) = table.symbol(self.peek(self.position));
        self.position += length as usize;
        symbol
    }

    /// The difference of a first coefficient to the one before.
    #[inline]
    pub(super) fn difference(&mut self, table: &Joint) -> i32 {
        let entry = table.single(self.peek(self.position));
        if entry != 0 {
            self.position += (entry & 0xff) as usize;
            return entry as i32 >> 16;
        }
        let size = self.symbol(&table.codes);
        if size == 0 { 0 } else { extend(self.get(size) as i32, size) }
    }

    /// The error of a file that ends too early, where this one does.
    pub(super) fn check(&self) -> Result<(), Stop> {
        if self.is_cut() { Err(Stop::Truncated) } else { Ok(()) }
    }
}

/// Copies bytes before the first 0xff, and says how many; `to` has room for eight more than `from` has.
fn copy_to_ff(from: &[u8], to: &mut [u8]) -> usize {
    let mut at = 0;
    while let (Some(bytes), Some(place)) = (from[at..].first_chunk::<8>(), to[at..].first_chunk_mut::<8>()) {
        *place = *bytes;
        let word = u64::from_le_bytes(*bytes);
        // A byte is 0xff where its complement is zero.
        let found = (!word).wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = from[at..].iter().take_while(|&&byte| byte != 0xff).count();
    to[at..at + rest].copy_from_slice(&from[at..at + rest]);
    at + rest
}
