#!/bin/bash -eu
# Builds every target, with its seeds and its dictionary.
cd "$SRC/vlmres"
cargo fuzz build --fuzz-dir fuzz --release

pack() {
    local target=$1 dictionary=$2
    shift 2
    cp "fuzz/target/x86_64-unknown-linux-gnu/release/$target" "$OUT/"
    printf '[libfuzzer]\nmax_len = 8192\ntimeout = 20\nrss_limit_mb = 1024\nmalloc_limit_mb = 384\n' >"$OUT/$target.options"
    if [ "$dictionary" != - ]; then
        cp "fuzz/dictionaries/$dictionary.dict" "$OUT/$target.dict"
    fi
    for folder in "$@"; do
        (cd "fuzz/seeds/$folder" && for file in *; do zip -q "$OUT/${target}_seed_corpus.zip" "$file"; done)
    done
}

for format in jpeg png webp gif bmp tiff; do
    pack "decode_$format" "$format" "$format"
done
# Not jpeg_peer: it loads the libjpeg of Pillow's wheel.
pack image_size jpeg jpeg png webp gif bmp tiff
pack orientation tiff exif
pack recipe_toml recipe_toml recipes
pack checkpoint_json checkpoint_json checkpoints
pack plan - plans
pack call - calls
pack resize -
pack declared -
