//! What the fuzz targets share.

pub mod arbitrary;
pub mod cost;
pub mod declared;
pub mod decode;
pub mod jpeg_peer;
pub mod memory;

/// Sets the process up. A panic of this library is a find; one of another crate's decoder becomes an error, as in what is
/// published, and one that nobody catches ends the process all the same.
pub fn init() {
    memory::limit(memory::MOST);
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let foreign = info.location().is_some_and(|at| at.file().contains("/registry/src/"));
        if !foreign {
            abort(info);
        }
    }));
}
