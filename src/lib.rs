//! Exact image preprocessing for vision-language models.
//!
//! A [`recipe::Recipe`] describes how a model family preprocesses images. A [`plan::Plan`] is what a recipe does to an
//! image of a given size, computed without pixels. An [`engine::Call`] turns images into the tensors that the family's
//! encoder reads.

pub mod engine;
pub mod error;
pub mod geometry;
pub mod limits;
pub mod memory;
pub mod options;
pub mod packing;
pub mod plan;
pub mod recipe;
pub mod resample;
pub mod simd;
pub mod source;
pub mod text;
pub mod threads;
pub mod write;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("vlmres needs 64-bit addresses: sizes in bytes do not fit 32 bits");

#[cfg(feature = "python")]
mod python;
