//! Text in an image: where its lines are and how tall their letters, from the pixels alone. Nothing is recognised.
//!
//! [`ink`] parts letters from paper, [`components`] finds connected ink, [`lines`] chains it, and tells lines of text from
//! texture; [`estimate`] puts them together, at the scales that an image needs.

mod components;
mod estimate;
mod ink;
mod lines;
mod zone;

pub use estimate::estimate;
pub use lines::Line;

#[cfg(test)]
mod tests;
