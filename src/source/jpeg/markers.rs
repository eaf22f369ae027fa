//! A JPEG's markers, read as libjpeg reads them: what it accepts, refuses and passes over.

use arrayvec::ArrayVec;

use super::frame::{Colours, Component, Frame, NATURAL, Parts, Scan, Stop};
use super::huffman::Code;
use super::standard;

/// What stands after a run of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Scan,
    End,
}

/// The state that markers set.
#[derive(Clone)]
pub(super) struct Markers<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// A marker that was come upon and not acted on, or 0.
    pub(super) pending: u8,
    pub(super) restart_interval: u32,
    pub(super) next_restart: u8,
    pub(super) frame: Option<Frame>,
    pub(super) scan: Scan,
    pub(super) scans: u32,
    started: bool,
    jfif: bool,
    adobe: Option<u8>,
    quant: [Option<[u16; 64]>; 4],
    dc: [Option<Code>; 4],
    ac: [Option<Code>; 4],
}

impl<'a> Markers<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            pending: 0,
            restart_interval: 0,
            next_restart: 0,
            frame: None,
            scan: Scan::default(),
            scans: 0,
            started: false,
            jfif: false,
            adobe: None,
            quant: [None; 4],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
        }
    }

    /// Reads on to the first scan of an image. Tables alone, before it, are kept.
    pub(super) fn read_header(&mut self) -> Result<(), Stop> {
        loop {
            match self.read(self.bytes.len())? {
                Event::Scan => break,
                Event::End if self.frame.is_some() => return Err(Stop::Broken("a frame without a scan")),
                Event::End => {
                    self.started = false;
                    self.scans = 0;
                }
            }
        }
        self.set_up_frame()
    }

    /// Reads segments up to `end`, to the next scan or the end marker.
    pub(super) fn read(&mut self, end: usize) -> Result<Event, Stop> {
        loop {
            if self.pending == 0 {
                if self.started {
                    self.next_marker(end)?;
                } else {
                    if [self.byte(end)?, self.byte(end)?] != [0xff, 0xd8] {
                        return Err(Stop::Broken("no start of image"));
                    }
                    self.pending = 0xd8;
                }
            }
            match self.pending {
                0xd8 => self.start_of_image()?,
                0xc0 | 0xc1 => self.frame_header(end, false, None)?,
                0xc2 => self.frame_header(end, true, None)?,
                0xc3 | 0xcb => self.frame_header(end, false, Some("lossless coding"))?,
                0xc9 | 0xca => self.frame_header(end, false, Some("arithmetic coding"))?,
                0xda => {
                    self.scan_header(end)?;
                    self.pending = 0;
                    return Ok(Event::Scan);
                }
                0xd9 => {
                    self.pending = 0;
                    return Ok(Event::End);
                }
                0xc4 => self.huffman_tables(end)?,
                0xdb => self.quant_tables(end)?,
                0xdd => {
                    if self.word(end)? != 4 {
                        return Err(Stop::Broken("a restart interval of the wrong length"));
                    }
                    self.restart_interval = self.word(end)?;
                }
                0xe0 | 0xee => self.application(end)?,
                0xcc => self.conditioning(end)?,
                // Line counts, other application data and comments.
                0xdc | 0xe1..=0xef | 0xfe => {
                    let length = self.word(end)? as usize;
                    self.at += length.saturating_sub(2);
                }
                0xd0..=0xd7 | 0x01 => {}
                _ => return Err(Stop::Broken("an unknown marker")),
            }
            self.pending = 0;
        }
    }

    /// Finds the next marker, over anything that is none.
    fn next_marker(&mut self, end: usize) -> Result<(), Stop> {
        loop {
            while self.byte(end)? != 0xff {}
            let mut code = 0xff;
            while code == 0xff {
                code = self.byte(end)?;
            }
            if code != 0 {
                self.pending = code;
                return Ok(());
            }
        }
    }

    /// Reads the restart marker that is due, and finds the way back where another stands there.
    pub(super) fn restart(&mut self) -> Result<(), Stop> {
        let end = self.bytes.len();
        if self.pending == 0 {
            self.next_marker(end)?;
        }
        let due = self.next_restart;
        if self.pending == 0xd0 + due {
            self.pending = 0;
        } else {
            loop {
                let ahead = |by: u8| 0xd0 + ((due + by) & 7);
                match self.pending {
                    0..0xc0 => self.next_marker(end)?,
                    // The data of this interval is missing.
                    0xc0..0xd0 | 0xd8.. => break,
                    code if code == ahead(1) || code == ahead(2) => break,
                    code if code == ahead(7) || code == ahead(6) => self.next_marker(end)?,
                    _ => {
                        self.pending = 0;
                        break;
                    }
                }
            }
        }
        self.next_restart = (due + 1) & 7;
        Ok(())
    }

    /// Whether a marker follows that ends a scan's data: no restart, and none that a restart would pass over.
    pub(super) fn is_ended(&self) -> bool {
        let data = self.bytes.get(self.at..).unwrap_or_default();
        data.windows(2).rev().any(|pair| pair[0] == 0xff && matches!(pair[1], 0xc0..0xd0 | 0xd8..=0xfe))
    }

    fn byte(&mut self, end: usize) -> Result<u8, Stop> {
        let byte = self.bytes[..end].get(self.at).ok_or(Stop::Truncated)?;
        self.at += 1;
        Ok(*byte)
    }

    fn word(&mut self, end: usize) -> Result<u32, Stop> {
        Ok(u32::from(self.byte(end)?) << 8 | u32::from(self.byte(end)?))
    }

    fn start_of_image(&mut self) -> Result<(), Stop> {
        if self.started {
            return Err(Stop::Broken("a second start of image"));
        }
        self.started = true;
        self.restart_interval = 0;
        self.jfif = false;
        self.adobe = None;
        Ok(())
    }

    fn frame_header(&mut self, end: usize, progressive: bool, unsupported: Option<&'static str>) -> Result<(), Stop> {
        if self.frame.is_some() {
            return Err(Stop::Broken("a second frame"));
        }
        let length = self.word(end)?;
        let precision = self.byte(end)?;
        let (height, width) = (self.word(end)?, self.word(end)?);
        let count = u32::from(self.byte(end)?);
        if height == 0 || width == 0 || count == 0 {
            return Err(Stop::Broken("an empty image"));
        }
        if length != 8 + count * 3 {
            return Err(Stop::Broken("a frame header of the wrong length"));
        }
        let mut components = Vec::new();
        for _ in 0..count {
            let id = self.byte(end)?;
            let factors = self.byte(end)?;
            let quant_index = self.byte(end)?;
            let (h, v) = (u32::from(factors >> 4), u32::from(factors & 15));
            components.push(Component { id, h, v, quant_index, quant: None, blocks_x: 0, blocks_y: 0 });
        }
        let frame = Frame { width, height, progressive, components, max_h: 1, max_v: 1, precision, unsupported };
        self.frame = Some(frame);
        Ok(())
    }

    /// What the first scan settles.
    fn set_up_frame(&mut self) -> Result<(), Stop> {
        let Some(frame) = &mut self.frame else { return Err(Stop::Broken("a scan without a frame")) };
        if frame.width > 65500 || frame.height > 65500 {
            return Err(Stop::Broken("a side of more than 65500 pixels"));
        }
        if frame.precision != 8 {
            return Err(Stop::Broken("samples that are not of 8 bits"));
        }
        if let Some(what) = frame.unsupported {
            return Err(Stop::Unsupported(what));
        }
        if !matches!(frame.components.len(), 1 | 3 | 4) {
            return Err(Stop::Broken("a number of components other than 1, 3 and 4"));
        }
        if frame.components.iter().any(|part| !(1..=4).contains(&part.h) || !(1..=4).contains(&part.v)) {
            return Err(Stop::Broken("sampling factors outside 1 to 4"));
        }
        frame.max_h = frame.components.iter().map(|part| part.h).max().unwrap_or(1);
        frame.max_v = frame.components.iter().map(|part| part.v).max().unwrap_or(1);
        for part in &mut frame.components {
            part.blocks_x = (frame.width * part.h).div_ceil(frame.max_h * 8);
            part.blocks_y = (frame.height * part.v).div_ceil(frame.max_v * 8);
        }
        Ok(())
    }

    fn scan_header(&mut self, end: usize) -> Result<(), Stop> {
        let Some(frame) = &self.frame else { return Err(Stop::Broken("a scan without a frame")) };
        let ids: ArrayVec<u8, 4> = frame.components.iter().take(4).map(|part| part.id).collect();
        let length = self.word(end)?;
        let count = u32::from(self.byte(end)?);
        if length != count * 2 + 6 || !(1..=4).contains(&count) {
            return Err(Stop::Broken("a scan header of the wrong length"));
        }
        let mut parts = Parts::new();
        for _ in 0..count {
            let id = self.byte(end)?;
            let tables = self.byte(end)?;
            // libjpeg asks whether the scan's part of that number is taken, not whether the component is.
            let found = ids.iter().enumerate().position(|(index, &own)| own == id && index >= parts.len());
            let Some(index) = found else { return Err(Stop::Broken("a scan of an unknown component")) };
            if parts.iter().any(|part| part.0 == index) {
                return Err(Stop::Broken("a scan with a component twice"));
            }
            parts.push((index, usize::from(tables >> 4), usize::from(tables & 15)));
        }
        let (first, last) = (self.byte(end)?.into(), self.byte(end)?.into());
        let approximation = u32::from(self.byte(end)?);
        self.scan = Scan { parts, first, last, high: approximation >> 4, low: approximation & 15 };
        self.next_restart = 0;
        self.scans += 1;
        Ok(())
    }

    fn huffman_tables(&mut self, end: usize) -> Result<(), Stop> {
        let mut length = i64::from(self.word(end)?) - 2;
        while length > 16 {
            let index = self.byte(end)?;
            let mut counts = [0; 16];
            for count in &mut counts {
                *count = self.byte(end)?;
            }
            length -= 17;
            let total: i64 = counts.iter().map(|&count| i64::from(count)).sum();
            if total > 256 || total > length {
                return Err(Stop::Broken("a bad Huffman table"));
            }
            let mut values = [0; 256];
            for value in &mut values[..total as usize] {
                *value = self.byte(end)?;
            }
            length -= total;
            let tables = if index & 0x10 == 0 { &mut self.dc } else { &mut self.ac };
            let slot =
                tables.get_mut(usize::from(index & !0x10)).ok_or(Stop::Broken("a bad Huffman table's number"))?;
            *slot = Some(Code { counts, values });
        }
        if length == 0 { Ok(()) } else { Err(Stop::Broken("Huffman tables of the wrong length")) }
    }

    /// Arithmetic conditioning, of no use without arithmetic coding but checked.
    fn conditioning(&mut self, end: usize) -> Result<(), Stop> {
        let mut length = i64::from(self.word(end)?) - 2;
        while length > 0 {
            let (index, value) = (self.byte(end)?, self.byte(end)?);
            length -= 2;
            if index >= 32 || index < 16 && value & 15 > value >> 4 {
                return Err(Stop::Broken("bad arithmetic conditioning"));
            }
        }
        if length == 0 { Ok(()) } else { Err(Stop::Broken("arithmetic conditioning of the wrong length")) }
    }

    fn quant_tables(&mut self, end: usize) -> Result<(), Stop> {
        let mut length = i64::from(self.word(end)?) - 2;
        while length > 0 {
            let index = self.byte(end)?;
            let wide = index >> 4 != 0;
            let mut table = [0; 64];
            if index & 15 >= 4 {
                return Err(Stop::Broken("a bad quantization table's number"));
            }
            for &place in &NATURAL[..64] {
                let value = if wide { self.word(end)? } else { self.byte(end)?.into() };
                table[usize::from(place)] = value as u16;
            }
            self.quant[usize::from(index & 15)] = Some(table);
            length -= if wide { 129 } else { 65 };
        }
        if length == 0 { Ok(()) } else { Err(Stop::Broken("quantization tables of the wrong length")) }
    }

    fn application(&mut self, end: usize) -> Result<(), Stop> {
        let length = (self.word(end)? as usize).saturating_sub(2);
        let start = self.at;
        for _ in 0..length.min(14) {
            self.byte(end)?;
        }
        let head = &self.bytes[start..self.at];
        if self.pending == 0xe0 && head.len() == 14 && head.starts_with(b"JFIF\0") {
            self.jfif = true;
        } else if self.pending == 0xee && head.len() >= 12 && head.starts_with(b"Adobe") {
            self.adobe = Some(head[11]);
        }
        self.at = start + length;
        Ok(())
    }

    /// Takes the quantization tables of the scan's components that have none yet.
    pub(super) fn latch_quant(&mut self) -> Result<(), Stop> {
        let Some(frame) = &mut self.frame else { return Err(Stop::Broken("a scan without a frame")) };
        for &(index, ..) in &self.scan.parts {
            let part = &mut frame.components[index];
            if part.quant.is_none() {
                let table = self.quant.get(usize::from(part.quant_index)).copied().flatten();
                part.quant = Some(table.ok_or(Stop::Broken("a quantization table is missing"))?);
            }
        }
        Ok(())
    }

    /// The code of a DC table.
    pub(super) fn dc_code(&self, index: usize) -> Result<&Code, Stop> {
        self.dc.get(index).and_then(Option::as_ref).ok_or(Stop::Broken("a Huffman table is missing"))
    }

    /// The code of an AC table.
    pub(super) fn ac_code(&self, index: usize) -> Result<&Code, Stop> {
        self.ac.get(index).and_then(Option::as_ref).ok_or(Stop::Broken("a Huffman table is missing"))
    }

    /// Motion JPEG leaves out the usual tables.
    pub(super) fn default_codes(&mut self) {
        if self.dc[..2].iter().chain(&self.ac[..2]).all(Option::is_some) {
            return;
        }
        let [dc, ac] = [standard::dc(), standard::ac()];
        for (slot, code) in self.dc.iter_mut().zip(dc).chain(self.ac.iter_mut().zip(ac)) {
            slot.get_or_insert(code);
        }
    }

    /// libjpeg's guess at what the components are.
    pub(super) fn colours(&self) -> Colours {
        let ids: Vec<u8> = self.frame.iter().flat_map(|frame| &frame.components).map(|part| part.id).collect();
        match (ids.len(), self.adobe) {
            (1, _) => Colours::Gray,
            (4, Some(0) | None) => Colours::Cmyk,
            (4, _) => Colours::Ycck,
            (_, Some(0)) if !self.jfif => Colours::Rgb,
            (_, None) if !self.jfif && ids == *b"RGB" => Colours::Rgb,
            _ => Colours::Ycc,
        }
    }
}
