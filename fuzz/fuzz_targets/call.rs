//! Whole calls: arbitrary recipes, limits and layouts; images of any strides; files that are whole, damaged, endless, sparse
//! or missing. Every value of the outputs is written, and where items turn out bad, the others are as without them.

#![no_main]

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arbitrary::{Result, Unstructured};
use half::{bf16, f16};
use libfuzzer_sys::fuzz_target;
use vlmres::engine::{Call, Input, Item, PixelOwner, Settings};
use vlmres::error::Error;
use vlmres::geometry::Size;
use vlmres::limits::Limits;
use vlmres::recipe::Recipe;
use vlmres::source::{AlphaRule, Decoder, PixelView, Strides};
use vlmres::threads::Threads;
use vlmres::write::{DType, Element, LayoutKind, Sink, Tensor};
use vlmres_fuzz::arbitrary::{files, recipe, size};

/// Most bytes of outputs: the target's own, since tests of layouts are the plan's.
const MOST_BYTES: u64 = 8 << 20;
/// Pixels of all views of a call: layouts hold masks of them.
const MOST_AREA: u64 = 1 << 22;

static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
static PATHS: OnceLock<(tempfile::TempDir, Vec<PathBuf>)> = OnceLock::new();

fuzz_target!(init: {
    vlmres_fuzz::init();
    FILES.get_or_init(files);
    PATHS.get_or_init(paths);
}, |data: &[u8]| {
    let _ = check(&mut Unstructured::new(data));
});

/// Files, and what is none.
fn paths() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut paths: Vec<PathBuf> = ["/dev/zero", "/nowhere/a.png", "/proc/self/mem", "/proc/self/maps", "/"]
        .into_iter()
        .map(PathBuf::from)
        .collect();
    for (index, bytes) in FILES.get().into_iter().flatten().enumerate() {
        let path = folder.path().join(index.to_string());
        std::fs::write(&path, bytes).expect("a file");
        paths.push(path);
        if index % 8 == 0 {
            // The file's beginning, then holes.
            for length in [1 << 22, 1 << 40] {
                let path = folder.path().join(format!("{index}-{length}"));
                let mut file = File::create(&path).expect("a file");
                file.write_all(bytes).expect("room");
                if file.set_len(length).is_ok() {
                    paths.push(path);
                }
            }
        }
    }
    let pipe = folder.path().join("pipe");
    let name = std::ffi::CString::new(pipe.to_str().expect("a plain name")).expect("no zero");
    // SAFETY: the name ends with a zero.
    if unsafe { libc::mkfifo(name.as_ptr(), 0o600) } == 0 {
        paths.push(pipe);
    }
    (folder, paths)
}

/// An image that cannot be had, or whose size changes.
struct Unsteady {
    size: Size,
    views: std::sync::atomic::AtomicU32,
    good: u32,
}

impl PixelOwner for Unsteady {
    fn view(&self) -> vlmres::error::Result<PixelView<'_>> {
        const PIXELS: [u8; 64] = [9; 64];
        let views = self.views.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if views >= self.good {
            return Err(Error::Argument("no pixels".into()));
        }
        let strides = Strides { y: 0, x: 0, channel: 1 };
        PixelView::new(&PIXELS, 0, self.size, 3, strides, AlphaRule::Ignore)
    }
}

fn input<'a>(bytes: &mut Unstructured<'a>, size: Size) -> Result<Input<'a>> {
    Ok(match bytes.int_in_range(0..=9)? {
        0..=2 => {
            let mut file = bytes.choose(FILES.get().expect("files"))?.clone();
            for _ in 0..bytes.int_in_range(0..=2)? {
                let at = bytes.choose_index(file.len())?;
                file[at] = bytes.arbitrary()?;
            }
            if bytes.ratio(1, 4)? {
                file.truncate(bytes.choose_index(file.len())?);
            }
            Input::Bytes(Box::new(file))
        }
        3 => Input::Path(bytes.choose(&PATHS.get().expect("files").1)?.clone()),
        4 => {
            let good = bytes.int_in_range(0..=3)?;
            Input::Pixels(Box::new(Unsteady { size, views: 0.into(), good }))
        }
        _ => view(bytes, size)?,
    })
}

/// Pixels of any strides, where they fit.
fn view<'a>(bytes: &mut Unstructured<'a>, size: Size) -> Result<Input<'a>> {
    let channels = *bytes.choose(&[1u8, 3, 4])?;
    let alpha = *bytes.choose(&[AlphaRule::Ignore, AlphaRule::WhiteNumpy, AlphaRule::WhiteTorch])?;
    let (width, height) = (size.width as isize, size.height as isize);
    let deep = isize::from(channels);
    let mut strides = match bytes.int_in_range(0..=4)? {
        0 | 1 => Strides { y: width * deep, x: deep, channel: 1 },
        2 => Strides { y: width, x: 1, channel: width * height },
        3 => Strides { y: deep, x: height * deep, channel: 1 },
        _ => Strides {
            y: bytes.int_in_range(-40..=40)?,
            x: bytes.int_in_range(-5..=5)?,
            channel: bytes.int_in_range(-3..=3)?,
        },
    };
    for (stride, zero) in [(&mut strides.y, 8), (&mut strides.x, 16), (&mut strides.channel, 16)] {
        if bytes.ratio(1, zero)? {
            *stride = 0;
        } else if bytes.ratio(1, 4)? {
            *stride = -*stride;
        }
    }
    let counts = [(height, strides.y), (width, strides.x), (deep, strides.channel)];
    let reach = |sign: isize| -> isize { counts.iter().map(|(count, by)| (count - 1) * (by * sign).max(0)).sum() };
    let (below, above) = (reach(-1) as usize, reach(1) as usize);
    let length = (below + above + 1).min(1 << 22);
    let seed: u8 = bytes.arbitrary()?;
    let data: Vec<u8> = (0..length).map(|at| (at as u8).wrapping_mul(seed | 1) ^ (at >> 8) as u8).collect();
    let owner = Strided { data, origin: below, size, channels, strides, alpha };
    Ok(Input::Pixels(Box::new(owner)))
}

struct Strided {
    data: Vec<u8>,
    origin: usize,
    size: Size,
    channels: u8,
    strides: Strides,
    alpha: AlphaRule,
}

impl PixelOwner for Strided {
    fn view(&self) -> vlmres::error::Result<PixelView<'_>> {
        PixelView::new(&self.data, self.origin, self.size, self.channels, self.strides, self.alpha)
    }
}

fn check(bytes: &mut Unstructured<'_>) -> Result<()> {
    let Some(recipe) = recipe(bytes)? else { return Ok(()) };
    let mut limit =
        |most: u64| -> Result<u64> { Ok(if bytes.ratio(1, 8)? { bytes.int_in_range(0..=most)? } else { most }) };
    let limits = Limits {
        image_pixels: limit(1 << 20)?,
        file_bytes: limit(1 << 20)?,
        decoded_bytes: limit(64 << 20)?,
        output_bytes: Some(limit(MOST_BYTES)?),
    };
    let arithmetic = bytes.choose(&["pillow", "pillow-12", "pillow-11", "torch"])?.parse().expect("an arithmetic");
    let layout = *bytes.choose(&[LayoutKind::Hf, LayoutKind::Packed])?;
    let scaled = bytes.arbitrary()?;
    let threads = Threads::new(bytes.int_in_range(1..=2)?);
    let dtype = *bytes.choose(&[DType::Float32, DType::BFloat16, DType::Float16, DType::UInt8])?;
    let settings = Settings { layout, dtype, arithmetic, scaled, limits, decoder: Decoder::Own };
    let mut items = Vec::new();
    let is_video = bytes.ratio(1, 4)?;
    for _ in 0..bytes.int_in_range(1..=4)? {
        let size = size(bytes, 1 << 20, 1 << 18)?;
        items.push(if bytes.ratio(1, 20)? {
            Item::Refused
        } else if is_video {
            let count = bytes.int_in_range(0..=5)?;
            Item::Video((0..count).map(|_| input(bytes, size)).collect::<Result<_>>()?)
        } else {
            Item::Image(input(bytes, size)?)
        });
    }
    let samples = match bytes.int_in_range(0..=2)? {
        0 => Some(vec![1; items.len()]),
        1 => {
            let first = bytes.int_in_range(0..=items.len())?;
            Some(vec![first, items.len() - first])
        }
        _ => None,
    };
    match dtype {
        DType::Float32 => run::<f32>(recipe, settings, items, samples, threads),
        DType::BFloat16 => run::<bf16>(recipe, settings, items, samples, threads),
        DType::Float16 => run::<f16>(recipe, settings, items, samples, threads),
        DType::UInt8 => run::<u8>(recipe, settings, items, samples, threads),
    }
    Ok(())
}

fn run<T: Element + Bits>(
    recipe: Recipe,
    settings: Settings,
    items: Vec<Item<'_>>,
    samples: Option<Vec<usize>>,
    threads: Threads,
) {
    let Ok((mut call, _)) = Call::new(Arc::new(recipe), settings, items, samples, threads) else { return };
    let mut memory: Option<[Vec<Vec<T>>; 2]> = None;
    loop {
        if call.left().next().is_none() || area(&call) > MOST_AREA || call.lay_out().is_err() {
            return;
        }
        let Some(layout) = call.layout() else { return };
        let lengths: Vec<usize> = layout.tensors.iter().map(Tensor::len).collect();
        // Memory of two meanings: where a value is not written, they differ.
        let both = memory.get_or_insert_with(|| {
            [T::POISON, T::OTHER].map(|value| lengths.iter().map(|&length| vec![value; length]).collect())
        });
        let mut failures = Vec::new();
        for (index, memory) in both.iter_mut().enumerate() {
            if lengths.len() != memory.len() || lengths.iter().zip(&*memory).any(|(&length, old)| length > old.len()) {
                return;
            }
            let parts = memory.iter_mut().zip(&lengths).map(|(values, &length)| &mut values[..length]);
            let mut sinks: Vec<_> = parts.map(Sink::from_slice).collect();
            // The first keeps what was moved in it, the second is written whole.
            if index == 1 {
                call.forget();
            }
            let Ok(found) = call.run(&mut sinks, threads) else { return };
            failures.extend(found);
        }
        if failures.is_empty() {
            let [one, other] = &*both;
            for ((one, other), &length) in one.iter().zip(other).zip(&lengths) {
                let same = one[..length].iter().zip(&other[..length]).all(|(one, other)| one.bits() == other.bits());
                assert!(same, "a value is not written, or not the same twice");
            }
            return;
        }
        let left = call.left().count();
        call.leave_out(failures.into_iter().map(|failure| failure.item).collect::<Vec<_>>());
        assert!(call.left().count() < left, "what fails is left out");
        if call.left().next().is_some() && call.lay_out().is_ok() {
            let mut sinks: Vec<_> = both[0].iter_mut().map(|values| Sink::from_slice(values)).collect();
            call.compact(&mut sinks);
        }
    }
}

/// Pixels of all views that are left.
fn area(call: &Call<'_>) -> u64 {
    let plans = call.plans().flatten();
    let area = |view: &vlmres::plan::View| view.canvas().area();
    plans.map(|plan| plan.views.iter().map(area).sum::<u64>().saturating_mul(plan.num_frames().into())).sum()
}

/// Values that can be compared, NaN too.
trait Bits: Copy {
    const POISON: Self;
    const OTHER: Self;

    fn bits(&self) -> u32;
}

impl Bits for f32 {
    const POISON: Self = -7777.0;
    const OTHER: Self = 5555.0;

    fn bits(&self) -> u32 {
        self.to_bits()
    }
}

impl Bits for bf16 {
    const POISON: Self = bf16::from_f32_const(-7777.0);
    const OTHER: Self = bf16::from_f32_const(5555.0);

    fn bits(&self) -> u32 {
        self.to_bits().into()
    }
}

impl Bits for f16 {
    const POISON: Self = f16::from_f32_const(-7777.0);
    const OTHER: Self = f16::from_f32_const(5555.0);

    fn bits(&self) -> u32 {
        self.to_bits().into()
    }
}

impl Bits for u8 {
    const POISON: Self = 171;
    const OTHER: Self = 84;

    fn bits(&self) -> u32 {
        (*self).into()
    }
}
