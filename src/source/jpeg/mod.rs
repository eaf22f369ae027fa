//! JPEG, decoded to Pillow's pixels: libjpeg-turbo's arithmetic, its way through damaged data, and Pillow's around it.

mod bits;
mod frame;
mod header;
mod huffman;
mod kernels;
mod markers;
mod output;
mod reduced;
mod scan;
mod smooth;
mod standard;

use frame::{Frame, Stop};
use header::Header;
use markers::{Event, Markers};
use output::Output;
use scan::{Block, ScanReader};
use smooth::Progress;

use super::orientation::Orientation;
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::memory::zeroed;
use crate::simd::Level;
use crate::threads::is_stopped;

/// A file of more scans is refused, as by libjpeg-turbo's own tests.
const MOST_SCANS: u32 = 500;
/// A file is refused whose scans go over more blocks than this, all together, and over each more often than
/// [`VISITS_OF_A_BLOCK`]: a few bytes may cost a pass over the image.
const MOST_VISITS: u64 = 1 << 26;
/// The most progressive of pictures need about 21.
const VISITS_OF_A_BLOCK: u64 = 24;
/// A block that a scan refines costs as much as so many others.
const VISITS_OF_REFINED: u64 = 8;

/// Whether the bytes are a JPEG's, as Pillow tells.
pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// What a JPEG's header says; decoding goes on from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jpeg {
    width: u32,
    height: u32,
    orientation: Orientation,
    /// Bytes of its coefficients, where they are kept.
    coefficients: u64,
}

impl Jpeg {
    /// Reads the header, as Pillow's `open` does.
    pub(super) fn open(bytes: &[u8]) -> Result<Self> {
        let Header { width, height, metadata, coefficients } =
            Header::read(bytes).map_err(|stop| error(stop, bytes))?;
        Ok(Self { width, height, orientation: metadata.orientation(), coefficients })
    }

    /// Its size as stored.
    pub(super) fn size(self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// At least the bytes that decoding it takes.
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * 3 + self.coefficients
    }

    /// How it is to be turned, from its EXIF data.
    pub(super) fn orientation(self) -> Orientation {
        self.orientation
    }

    /// Decodes the file that has this header, at `eighths` of its size, 1, 2, 4 or 8: packed RGB and its size, in the memory of
    /// `pixels`. Eight is exact.
    pub(super) fn decode(self, bytes: &[u8], eighths: usize, pixels: Vec<u8>) -> Result<(Size, Vec<u8>)> {
        let made = self.read(bytes, eighths, pixels, Level::current()?).map_err(|stop| error(stop, bytes))?;
        let size = Size::of_image(made.width as i64, made.height as i64)?;
        Ok((size, made.into_pixels()))
    }

    fn read(self, bytes: &[u8], eighths: usize, pixels: Vec<u8>, level: Level) -> std::result::Result<Output, Stop> {
        let mut markers = Markers::new(bytes);
        markers.read_header()?;
        let frame = markers.frame.clone().ok_or(Stop::Broken("a scan without a frame"))?;
        if (frame.width, frame.height) != self.size() {
            return Err(Stop::Broken("two sizes"));
        }
        let output = Output::new(&frame, markers.colours(), eighths, pixels, level);
        let mut output = output.ok_or(Stop::Broken("sampling factors that do not divide, or too little memory"))?;
        if frame.progressive || markers.scan.parts.len() < frame.components.len() {
            let mut image = Coefficients::new(&frame)?;
            image.read(&mut markers)?;
            image.output(&markers, &mut output)?;
        } else {
            one_pass(&mut markers, &mut output)?;
        }
        Ok(output)
    }
}

fn error(stop: Stop, bytes: &[u8]) -> Error {
    match stop {
        Stop::Truncated => {
            Error::Decode(format!("the JPEG data ends after {} bytes, before its image does", bytes.len()))
        }
        Stop::Broken(what) => Error::Decode(format!("the JPEG has {what}")),
        Stop::Unsupported(what) => Error::NotNative { format: "a JPEG", feature: what.into() },
        Stop::Interrupted => Error::Interrupted,
        Stop::Memory(bytes) => Error::Memory { bytes },
    }
}

/// Whether anybody still wants the image: asked for every row of units.
fn check() -> std::result::Result<(), Stop> {
    if is_stopped() { Err(Stop::Interrupted) } else { Ok(()) }
}

/// The units of a scan: for each block of one, the scan's part, the component, and its place in the unit.
struct Units {
    parts: Vec<u8>,
    places: Vec<(usize, u32, u32)>,
    /// Units in a row, and rows of them.
    columns: u32,
    rows: u32,
    /// Blocks from one unit to the next, by component.
    steps: [(u32, u32); 4],
    /// Rows of units to a row of the whole image's.
    per_row: u32,
}

impl Units {
    fn new(frame: &Frame, markers: &Markers<'_>) -> std::result::Result<Self, Stop> {
        let scan = &markers.scan.parts;
        let mut units =
            Self { parts: vec![0], places: Vec::new(), columns: 0, rows: 0, steps: [(1, 1); 4], per_row: 1 };
        if let [(index, ..)] = scan[..] {
            let part = &frame.components[index];
            units.places.push((index, 0, 0));
            (units.columns, units.rows, units.per_row) = (part.blocks_x, part.blocks_y, part.v);
            return Ok(units);
        }
        units.parts.clear();
        (units.columns, units.rows) = (frame.columns(), frame.rows());
        for (number, &(index, ..)) in scan.iter().enumerate() {
            let part = &frame.components[index];
            units.steps[index] = (part.h, part.v);
            for y in 0..part.v {
                for x in 0..part.h {
                    units.parts.push(number as u8);
                    units.places.push((index, x, y));
                }
            }
        }
        if units.parts.len() > 10 { Err(Stop::Broken("more than ten blocks to a unit")) } else { Ok(units) }
    }

    /// Component and place of each block of a unit.
    fn blocks(&self, column: u32, row: u32) -> impl Iterator<Item = (usize, u32, u32)> + Clone {
        self.places.iter().map(move |&(index, x, y)| {
            let (across, down) = self.steps[index];
            (index, column * across + x, row * down + y)
        })
    }
}

/// Reads and transforms a file of one scan, a row of units at a time.
fn one_pass(markers: &mut Markers<'_>, output: &mut Output) -> std::result::Result<(), Stop> {
    markers.latch_quant()?;
    markers.default_codes();
    let mut scan = ScanReader::new(markers)?;
    let frame = markers.frame.clone().ok_or(Stop::Broken("a scan without a frame"))?;
    let units = Units::new(&frame, markers)?;
    let quants: Vec<[u16; 64]> = frame.components.iter().map(|part| part.quant.unwrap_or([0; 64])).collect();
    let mut blocks: [Block; 10] = [[0; 64]; 10];
    let blocks = &mut blocks[..units.parts.len()];
    for row in 0..units.rows {
        check()?;
        for column in 0..units.columns {
            blocks.fill([0; 64]);
            scan.sequential(markers, &units.parts, blocks)?;
            for ((index, x, y), block) in units.blocks(column, row).zip(&*blocks) {
                let part = &frame.components[index];
                if x < part.blocks_x && y < part.blocks_y {
                    output.transform(index, x, y, block, &quants[index]);
                }
            }
        }
        let is_last = row + 1 == units.rows;
        if is_last || (row + 1) % units.per_row == 0 {
            output.emit((row + 1).div_ceil(units.per_row), is_last);
        }
    }
    // Pillow has all rows, and looks at the rest only as far as the data that it has read goes.
    scan.finish(markers);
    match markers.read(scan.bits.end) {
        Ok(Event::End) | Err(Stop::Truncated) => Ok(()),
        Ok(Event::Scan) => Err(Stop::Broken("a scan after the last")),
        Err(stop) => Err(stop),
    }
}

/// All coefficients of an image that comes in several scans.
struct Coefficients {
    /// Of each component: blocks in a row, with those that fill up the last unit, and the blocks.
    planes: Vec<(u32, Vec<Block>)>,
    progress: Progress,
    /// Blocks that scans went over, or what they cost.
    visits: u64,
    /// The most of them.
    most_visits: u64,
}

impl Coefficients {
    fn new(frame: &Frame) -> std::result::Result<Self, Stop> {
        let mut planes = Vec::new();
        let mut blocks_of_all = 0;
        for part in &frame.components {
            let across = part.blocks_x.next_multiple_of(part.h);
            let count = across as usize * part.blocks_y.next_multiple_of(part.v) as usize;
            blocks_of_all += count as u64;
            // Memory that no scan writes to costs nothing.
            let blocks = zeroed(count).ok_or(Stop::Memory(count * size_of::<Block>()))?;
            planes.push((across, blocks));
        }
        let most_visits = MOST_VISITS.max(blocks_of_all * VISITS_OF_A_BLOCK);
        Ok(Self { planes, progress: Progress::new(frame.components.len()), visits: 0, most_visits })
    }

    /// Reads all scans, to the end marker.
    fn read(&mut self, markers: &mut Markers<'_>) -> std::result::Result<(), Stop> {
        if markers.frame.as_ref().is_some_and(|frame| !frame.progressive) {
            markers.default_codes();
        }
        loop {
            self.read_scan(markers)?;
            match markers.read(markers.bytes.len())? {
                Event::End => return Ok(()),
                Event::Scan if markers.scans > MOST_SCANS => return Err(Stop::Broken("more than 500 scans")),
                Event::Scan => {}
            }
        }
    }

    fn read_scan(&mut self, markers: &mut Markers<'_>) -> std::result::Result<(), Stop> {
        let frame = markers.frame.clone().ok_or(Stop::Broken("a scan without a frame"))?;
        let units = Units::new(&frame, markers)?;
        markers.latch_quant()?;
        let mut scan = ScanReader::new(markers)?;
        if frame.progressive {
            self.progress.start_scan(&markers.scan, markers.scans);
        }
        let mut kept: [Block; 10] = [[0; 64]; 10];
        let kept = &mut kept[..units.parts.len()];
        let visits = u64::from(units.columns) * units.parts.len() as u64;
        let visits = if scan.refines_bands() { visits * VISITS_OF_REFINED } else { visits };
        for row in 0..units.rows {
            if scan.is_over(markers) {
                break;
            }
            check()?;
            self.visits += visits;
            if self.visits > self.most_visits {
                return Err(Stop::Broken("more scans than an image of its size may have"));
            }
            let mut column = 0;
            while column < units.columns {
                if !scan.bits.starved {
                    self.progress.last_good_row = row / units.per_row;
                }
                let idle = scan.skip(markers, units.columns - column);
                if idle > 0 {
                    column += idle;
                    continue;
                }
                let here = units.blocks(column, row);
                if frame.progressive && units.parts.len() == 1 {
                    for (index, x, y) in here {
                        let (across, blocks) = &mut self.planes[index];
                        // Units of one part are its blocks, and those of a row lie side by side.
                        let line = &mut blocks[(y * *across + x) as usize..][..(units.columns - column) as usize];
                        let ready = scan.refine_ready(markers, line);
                        column += ready;
                        if let Some(block) = line.get_mut(ready as usize) {
                            scan.progressive(markers, &units.parts, std::slice::from_mut(block))?;
                            column += 1;
                        }
                    }
                    continue;
                }
                column += 1;
                if frame.progressive {
                    // A scan of several parts is of first coefficients alone: a block's others need not be moved.
                    for ((index, x, y), block) in here.clone().zip(&mut *kept) {
                        let (across, blocks) = &self.planes[index];
                        block[0] = blocks[(y * across + x) as usize][0];
                    }
                    scan.progressive(markers, &units.parts, kept)?;
                    for ((index, x, y), block) in here.zip(&*kept) {
                        let (across, blocks) = &mut self.planes[index];
                        blocks[(y * *across + x) as usize][0] = block[0];
                    }
                    continue;
                }
                for ((index, x, y), block) in here.clone().zip(&mut *kept) {
                    let (across, blocks) = &self.planes[index];
                    *block = blocks[(y * across + x) as usize];
                }
                scan.sequential(markers, &units.parts, kept)?;
                for ((index, x, y), block) in here.zip(&*kept) {
                    let (across, blocks) = &mut self.planes[index];
                    blocks[(y * *across + x) as usize] = *block;
                }
            }
        }
        scan.finish(markers);
        Ok(())
    }

    fn output(&self, markers: &Markers<'_>, output: &mut Output) -> std::result::Result<(), Stop> {
        let frame = markers.frame.as_ref().ok_or(Stop::Broken("a scan without a frame"))?;
        let smooths = frame.progressive && self.progress.is_incomplete(frame);
        for row in 0..frame.rows() {
            check()?;
            for (index, part) in frame.components.iter().enumerate() {
                let (across, blocks) = &self.planes[index];
                let quant = part.quant.unwrap_or([0; 64]);
                for y in row * part.v..((row + 1) * part.v).min(part.blocks_y) {
                    let line = &blocks[(y * across) as usize..][..part.blocks_x as usize];
                    if smooths {
                        self.progress.smooth(frame, index, row, y, (*across, blocks), |x, block| {
                            output.transform(index, x, y, block, &quant);
                        });
                        continue;
                    }
                    for (x, block) in line.iter().enumerate() {
                        output.transform(index, x as u32, y, block, &quant);
                    }
                }
            }
            output.emit(row + 1, row + 1 == frame.rows());
        }
        Ok(())
    }
}
