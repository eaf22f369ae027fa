//! Pillow's own libjpeg-turbo, driven as Pillow does: a source that suspends, fed with 64 KiB at a time.
//!
//! The library is the one in Pillow's wheel, loaded at run time. No build of ours would do: what damaged coefficients become
//! is a matter of its SIMD code, whose 16-bit sums saturate where those of its C code do not.

use std::env;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::LazyLock;

use libloading::Library;
use mozjpeg_sys::{
    J_COLOR_SPACE, JPEG_LIB_VERSION, JSAMPARRAY_MUT, boolean, c_int, c_long, c_uint, jpeg_common_struct,
    jpeg_decompress_struct, jpeg_error_mgr, jpeg_source_mgr,
};

/// Names the library.
pub const PATH: &str = "VLMRES_FUZZ_LIBJPEG";

/// Bytes that Pillow reads at a time.
const PIECE: usize = 64 << 10;
/// What libjpeg says where its source has no more bytes for now.
const JPEG_SUSPENDED: c_int = 0;
const JPEG_HEADER_TABLES_ONLY: c_int = 2;

/// What Pillow makes of a file's data.
pub enum Peer {
    /// Width, height, channels (1, 3, or 4 inks) and packed bytes.
    Pixels(usize, usize, usize, Vec<u8>),
    /// It refuses the file.
    Refused,
    /// More pixels than asked for.
    TooLarge,
}

type Info = *mut jpeg_decompress_struct;

/// The functions of the library.
struct LibJpeg {
    std_error: unsafe extern "C-unwind" fn(*mut jpeg_error_mgr) -> *mut jpeg_error_mgr,
    create: unsafe extern "C-unwind" fn(Info, c_int, usize),
    read_header: unsafe extern "C-unwind" fn(Info, boolean) -> c_int,
    start: unsafe extern "C-unwind" fn(Info) -> boolean,
    read_scanlines: unsafe extern "C-unwind" fn(Info, JSAMPARRAY_MUT, c_uint) -> c_uint,
    finish: unsafe extern "C-unwind" fn(Info) -> boolean,
    destroy: unsafe extern "C-unwind" fn(Info),
    resync: unsafe extern "C-unwind" fn(&mut jpeg_decompress_struct, c_int) -> boolean,
}

static LIBJPEG: LazyLock<LibJpeg> = LazyLock::new(|| {
    let path = env::var_os(PATH).unwrap_or_else(|| panic!("{PATH} is not set: the path of Pillow's libjpeg"));
    // SAFETY: the library is libjpeg-turbo with libjpeg 6b's interface, which `jpeg_CreateDecompress` checks; it is never closed.
    unsafe {
        let library = Box::leak(Box::new(Library::new(&path).expect("Pillow's libjpeg")));
        LibJpeg {
            std_error: *library.get(b"jpeg_std_error").unwrap(),
            create: *library.get(b"jpeg_CreateDecompress").unwrap(),
            read_header: *library.get(b"jpeg_read_header").unwrap(),
            start: *library.get(b"jpeg_start_decompress").unwrap(),
            read_scanlines: *library.get(b"jpeg_read_scanlines").unwrap(),
            finish: *library.get(b"jpeg_finish_decompress").unwrap(),
            destroy: *library.get(b"jpeg_destroy_decompress").unwrap(),
            resync: *library.get(b"jpeg_resync_to_restart").unwrap(),
        }
    }
});

/// Loads the library.
pub fn init() {
    LazyLock::force(&LIBJPEG);
}

#[repr(C)]
struct Source {
    manager: jpeg_source_mgr,
    skip: usize,
}

extern "C-unwind" fn nothing(_: &mut jpeg_decompress_struct) {}

extern "C-unwind" fn suspend(_: &mut jpeg_decompress_struct) -> boolean {
    0
}

extern "C-unwind" fn skip(info: &mut jpeg_decompress_struct, count: c_long) {
    // SAFETY: `Peer::read` made the source, and it is a `Source`.
    let source = unsafe { &mut *info.src.cast::<Source>() };
    let count = count.max(0) as usize;
    let now = count.min(source.manager.bytes_in_buffer);
    // SAFETY: that many bytes are in the buffer.
    source.manager.next_input_byte = unsafe { source.manager.next_input_byte.add(now) };
    source.manager.bytes_in_buffer -= now;
    source.skip = count - now;
}

extern "C-unwind" fn fail(_: &mut jpeg_common_struct) {
    // Not `panic!`: the hook would abort the fuzzer.
    resume_unwind(Box::new(()));
}

extern "C-unwind" fn silent(_: &mut jpeg_common_struct) {}

extern "C-unwind" fn warn(info: &mut jpeg_common_struct, level: c_int) {
    if level < 0 {
        // SAFETY: the error manager lives as long as the decoder.
        unsafe { (*info.err).num_warnings += 1 };
    }
}

/// Decodes as Pillow does.
pub fn read(data: &[u8], most_pixels: usize) -> Peer {
    let jpeg = &*LIBJPEG;
    // SAFETY: libjpeg's structures may be zero before it sets them up.
    unsafe {
        let mut errors: jpeg_error_mgr = MaybeUninit::zeroed().assume_init();
        (jpeg.std_error)(&raw mut errors);
        errors.error_exit = Some(fail);
        errors.output_message = Some(silent);
        errors.emit_message = Some(warn);
        let mut info: jpeg_decompress_struct = MaybeUninit::zeroed().assume_init();
        info.common.err = &raw mut errors;
        (jpeg.create)(&raw mut info, JPEG_LIB_VERSION, size_of::<jpeg_decompress_struct>());
        let mut source = Source { manager: MaybeUninit::zeroed().assume_init(), skip: 0 };
        source.manager.init_source = Some(nothing);
        source.manager.fill_input_buffer = Some(suspend);
        source.manager.skip_input_data = Some(skip);
        source.manager.resync_to_restart = Some(jpeg.resync);
        source.manager.term_source = Some(nothing);
        info.src = (&raw mut source).cast();
        // C keeps pointers to both, so Rust does too: a reference would promise that nobody else looks.
        let (info_at, source_at) = (&raw mut info, &raw mut source);
        let found = catch_unwind(AssertUnwindSafe(|| pieces(jpeg, data, info_at, source_at, most_pixels)));
        (jpeg.destroy)(info_at);
        found.unwrap_or(Peer::Refused)
    }
}

enum State {
    Header,
    Start,
    Rows,
}

/// # Safety
/// `info` is set up, with `source` as its source.
unsafe fn pieces(jpeg: &LibJpeg, data: &[u8], info: Info, source: *mut Source, most_pixels: usize) -> Peer {
    let mut state = State::Header;
    let mut pixels = Vec::new();
    let (mut row_bytes, mut row) = (0, 0);
    let (mut start, mut end) = (0usize, 0usize);
    while end < data.len() {
        end = (end + PIECE).min(data.len());
        // SAFETY: libjpeg is set up, and its source has bytes of `data`.
        unsafe {
            (*source).manager.next_input_byte = data[start..].as_ptr();
            (*source).manager.bytes_in_buffer = end - start;
            if (*source).skip > 0 {
                let more = (*source).skip;
                skip(&mut *info, more as c_long);
            }
            'ready: {
                if (*source).skip > 0 {
                    break 'ready;
                }
                if matches!(state, State::Header) {
                    // A stream of tables alone may stand before that of the image.
                    let found = loop {
                        let found = (jpeg.read_header)(info, 0);
                        if found != JPEG_HEADER_TABLES_ONLY {
                            break found;
                        }
                    };
                    if found == JPEG_SUSPENDED {
                        break 'ready;
                    }
                    if (*info).image_width as usize * (*info).image_height as usize > most_pixels {
                        return Peer::TooLarge;
                    }
                    (*info).out_color_space = match (*info).num_components {
                        1 => J_COLOR_SPACE::JCS_GRAYSCALE,
                        3 => J_COLOR_SPACE::JCS_RGB,
                        _ => J_COLOR_SPACE::JCS_CMYK,
                    };
                    state = State::Start;
                }
                if matches!(state, State::Start) {
                    if (jpeg.start)(info) == 0 {
                        break 'ready;
                    }
                    row_bytes = (*info).output_width as usize * (*info).output_components as usize;
                    pixels = vec![0; row_bytes * (*info).output_height as usize];
                    state = State::Rows;
                }
                while row < (*info).output_height as usize {
                    let mut line = pixels[row * row_bytes..].as_mut_ptr();
                    if (jpeg.read_scanlines)(info, &raw mut line, 1) != 1 {
                        break 'ready;
                    }
                    row += 1;
                }
                (jpeg.finish)(info);
                return Peer::Pixels(
                    (*info).output_width as usize,
                    (*info).output_height as usize,
                    (*info).output_components as usize,
                    pixels,
                );
            }
            start = (*source).manager.next_input_byte.offset_from(data.as_ptr()) as usize;
        }
    }
    Peer::Refused
}
