//! Files of a few bytes that declare much, out of a fuzzer's bytes: sizes, frames, tiles and scans that nothing stands behind.

use arbitrary::{Result, Unstructured};

use crate::arbitrary::side;
use crate::decode::crc32;

/// Most bytes of what an image is made of.
const MOST_DATA: usize = 256;
/// Sides of a large JPEG: gray, it and its coefficients have 245 MB.
const LARGE: u32 = 7000;
/// Most scans of a JPEG, and a few more.
const MOST_SCANS: usize = 520;

/// A file of some format.
pub fn file(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    match bytes.int_in_range(0..=6)? {
        0 | 1 => jpeg(bytes),
        2 => png(bytes),
        3 => gif(bytes),
        4 => webp(bytes),
        5 => bmp(bytes),
        _ => tiff(bytes),
    }
}

/// Bytes, many of them alike.
fn data(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    for _ in 0..bytes.int_in_range(0..=3)? {
        let value: u8 = bytes.arbitrary()?;
        let count = if bytes.arbitrary()? { 1 } else { bytes.int_in_range(1..=MOST_DATA)? };
        data.resize(data.len() + count, value);
    }
    Ok(data)
}

/// A JPEG of the frames that come in scans, with scans that are repeated.
fn jpeg(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let progressive = bytes.ratio(3u8, 4u8)?;
    let components: u8 = if bytes.arbitrary()? { 1 } else { 3 };
    // Scans cost most of an image that is as large as may be.
    let sides = if bytes.ratio(1u8, 4u8)? { (LARGE, LARGE) } else { (side(bytes, 16)?, side(bytes, 16)?) };
    let (width, height) = (sides.0 as u16, sides.1 as u16);
    let mut file = vec![0xff, 0xd8];
    segment(&mut file, 0xdb, &[&[0][..], &[1; 64]].concat());
    // Code 0: a difference of nothing; bands without coefficients, as many blocks as can be said at once or one.
    let ends = *bytes.choose(&[0xe0, 0xe0, 0x00, 0x01])?;
    for (table, value) in [(0x00, 0x00), (0x10, ends)] {
        segment(&mut file, 0xc4, &[&[table, 1][..], &[0; 15], &[value]].concat());
    }
    let mut frame = vec![8];
    frame.extend([height.to_be_bytes(), width.to_be_bytes()].concat());
    frame.push(components);
    for index in 0..components {
        let factors = if index == 0 { *bytes.choose(&[0x11, 0x22, 0x21, 0x12, 0x41])? } else { 0x11 };
        frame.extend([index + 1, factors, 0]);
    }
    segment(&mut file, if progressive { 0xc2 } else { 0xc0 }, &frame);
    let mut left = MOST_SCANS;
    for _ in 0..bytes.int_in_range(1..=4)? {
        let scan = scan(bytes, progressive, components)?;
        let most = if bytes.ratio(1u8, 2u8)? { left } else { left.min(3) };
        let count = bytes.int_in_range(0..=most)?;
        file.extend(scan.repeat(count));
        left -= count;
    }
    file.extend([0xff, 0xd9]);
    Ok(file)
}

fn scan(bytes: &mut Unstructured<'_>, progressive: bool, components: u8) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    // Coefficients, and bits of them: those before and those behind.
    let (first, last, bits) = if progressive {
        *bytes.choose(&[
            (0, 0, 0x00),
            (0, 0, 0x01),
            (0, 0, 0x10),
            (1, 63, 0x00),
            (1, 63, 0x01),
            (1, 63, 0x10),
            (1, 1, 0x10),
        ])?
    } else {
        (0, 63, 0)
    };
    let all = components > 1 && first == 0 && bytes.ratio(1u8, 2u8)?;
    let parts: Vec<u8> = if all { (1..=components).collect() } else { vec![bytes.int_in_range(1..=components)?] };
    let mut header = vec![parts.len() as u8];
    header.extend(parts.iter().flat_map(|&part| [part, 0]));
    header.extend([first, last, bits]);
    segment(&mut file, 0xda, &header);
    file.extend(data(bytes)?.iter().flat_map(|&byte| [byte, 0].into_iter().take(if byte == 0xff { 2 } else { 1 })));
    Ok(file)
}

fn segment(file: &mut Vec<u8>, marker: u8, data: &[u8]) {
    file.extend([0xff, marker]);
    file.extend((data.len() as u16 + 2).to_be_bytes());
    file.extend(data);
}

fn png(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [side(bytes, 31)?.to_be_bytes(), side(bytes, 31)?.to_be_bytes()].concat();
    let depth = *bytes.choose(&[1, 2, 4, 8, 16])?;
    let colour = *bytes.choose(&[0, 2, 3, 4, 6])?;
    header.extend([depth, colour, 0, 0, u8::from(bytes.ratio(1u8, 4u8)?)]);
    chunk(&mut file, *b"IHDR", &header);
    if colour == 3 {
        chunk(&mut file, *b"PLTE", &[9; 12]);
    }
    // Deflate without compression: a block of what follows.
    let rows = data(bytes)?;
    let count = rows.len() as u16;
    let stream =
        [&[0x78, 0x01, u8::from(bytes.arbitrary::<bool>()?)], &count.to_le_bytes()[..], &(!count).to_le_bytes(), &rows]
            .concat();
    chunk(&mut file, *b"IDAT", &stream);
    chunk(&mut file, *b"IEND", &[]);
    Ok(file)
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend(kind);
    file.extend(data);
    let sum = crc32(&file[start..]);
    file.extend(sum.to_be_bytes());
}

fn gif(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut file = b"GIF89a".to_vec();
    let mut pair = |file: &mut Vec<u8>| -> Result<()> {
        for _ in 0..2 {
            file.extend((side(bytes, 16)? as u16).to_le_bytes());
        }
        Ok(())
    };
    pair(&mut file)?;
    file.extend([0x80, 0, 0, 1, 2, 3, 4, 5, 6, b',']);
    // Where the frame is, and its size.
    let mut place = Vec::new();
    pair(&mut place)?;
    let mut frame = Vec::new();
    pair(&mut frame)?;
    if bytes.ratio(3u8, 4u8)? {
        place = vec![0; 4];
    }
    file.extend([place, frame].concat());
    file.extend([if bytes.ratio(1u8, 4u8)? { 0x40 } else { 0 }, 2]);
    let codes = data(bytes)?;
    for piece in codes.chunks(255) {
        file.push(piece.len() as u8);
        file.extend(piece);
    }
    file.extend([0, b';']);
    Ok(file)
}

fn webp(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut body = b"WEBP".to_vec();
    let mut part = |kind: &[u8; 4], data: &[u8]| {
        body.extend(kind);
        body.extend((data.len() as u32).to_le_bytes());
        body.extend(data);
        body.resize(body.len() + data.len() % 2, 0);
    };
    if bytes.ratio(1u8, 3u8)? {
        let canvas = [side(bytes, 24)?, side(bytes, 24)?].map(|side| (side - 1).to_le_bytes());
        let flags = *bytes.choose(&[0x10, 0x00, 0x02])?;
        part(b"VP8X", &[&[flags, 0, 0, 0], &canvas[0][..3], &canvas[1][..3]].concat());
    }
    let (width, height) = (side(bytes, 14)?, side(bytes, 14)?);
    let codes = data(bytes)?;
    if bytes.ratio(2u8, 3u8)? {
        let packed = ((width - 1) & 0x3fff) | ((height - 1) & 0x3fff) << 14 | 1 << 28;
        part(b"VP8L", &[&[0x2f][..], &packed.to_le_bytes(), &codes].concat());
    } else {
        let sides = [width as u16 & 0x3fff, height as u16 & 0x3fff].map(u16::to_le_bytes).concat();
        part(b"VP8 ", &[&[0x10, codes.len().min(255) as u8, 0, 0x9d, 0x01, 0x2a][..], &sides, &codes].concat());
    }
    Ok([&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat())
}

fn bmp(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let depth: u16 = *bytes.choose(&[1, 4, 8, 16, 24, 32])?;
    // Not compressed, runs of bytes, runs of halves.
    let compression: u32 = *bytes.choose(&[0, 1, 2])?;
    let sides = [side(bytes, 31)?, side(bytes, 31)?].map(u32::to_le_bytes);
    let rows = data(bytes)?;
    let mut file = b"BM".to_vec();
    file.extend(
        [(54 + 16 + rows.len() as u32).to_le_bytes(), [0; 4], 70u32.to_le_bytes(), 40u32.to_le_bytes()].concat(),
    );
    file.extend(sides.concat());
    file.extend([1u16.to_le_bytes(), depth.to_le_bytes()].concat());
    file.extend([compression, rows.len() as u32, 0, 0, 4, 0].map(u32::to_le_bytes).concat());
    file.extend([7; 16]);
    file.extend(rows);
    Ok(file)
}

fn tiff(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let rows = data(bytes)?;
    let (width, height) = (side(bytes, 31)?, side(bytes, 31)?);
    let compression = *bytes.choose(&[1, 4, 5, 7, 8, 32773])?;
    let (photometric, samples) = *bytes.choose(&[(1, 1), (2, 3), (2, 4), (5, 4), (6, 3)])?;
    let depth = *bytes.choose(&[8, 1, 16])?;
    let place = 8u32;
    // One strip or tile, or as many as the file says.
    let count = if bytes.ratio(3u8, 4u8)? { 1 } else { side(bytes, 28)? };
    let mut tags: Vec<(u16, u32, u32)> = vec![
        (256, 1, width),
        (257, 1, height),
        (258, 1, depth),
        (259, 1, compression),
        (262, 1, photometric),
        (277, 1, samples),
    ];
    let length = rows.len() as u32;
    if bytes.arbitrary()? {
        let strip = if bytes.arbitrary()? { height } else { side(bytes, 31)? };
        tags.extend([(273, count, place), (278, 1, strip), (279, count, length)]);
    } else {
        let tile = [side(bytes, 28)?, side(bytes, 28)?].map(|side| side.next_multiple_of(16));
        tags.extend([(322, 1, tile[0]), (323, 1, tile[1]), (324, count, place), (325, count, length)]);
    }
    tags.sort_unstable();
    let mut file = b"II*\0".to_vec();
    file.extend((place + length).to_le_bytes());
    file.extend(rows);
    file.extend((tags.len() as u16).to_le_bytes());
    for (tag, count, value) in tags {
        file.extend([tag.to_le_bytes(), 4u16.to_le_bytes()].concat());
        file.extend([count, value].map(u32::to_le_bytes).concat());
    }
    file.extend([0; 4]);
    Ok(file)
}
