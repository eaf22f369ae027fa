#!/usr/bin/env bash
# Runs every fuzz target in turn and prints what each did: fuzz/run.sh SECONDS [TARGET ...]
#
# FUZZ_SANITIZER is `none` (several times faster) unless set: `address` where a fault of memory would go unseen.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?how many seconds each target runs}
shift
sanitizer=${FUZZ_SANITIZER:-none}

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "fuzz: cargo-fuzz is missing; install it: cargo install --locked cargo-fuzz" >&2
    exit 1
fi
if ! command -v c++ >/dev/null 2>&1; then
    echo "fuzz: a C++ compiler is missing, for libFuzzer; install g++ or clang (Debian: apt install g++)" >&2
    exit 1
fi
# Instrumentation is a matter of a nightly compiler; a stable one does it where it is told to be one.
if ! rustc --version | grep -q nightly; then
    export RUSTC_BOOTSTRAP=1
fi

all=$(cargo fuzz list --fuzz-dir fuzz)
targets=${*:-$all}

# jpeg_peer compares with the libjpeg-turbo in Pillow's wheel: that of the tests' environment, or one that is downloaded.
find_libjpeg() {
    local library
    for library in .venv/lib/python3*/site-packages/pillow.libs/libjpeg-*.so* fuzz/peer/pillow.libs/libjpeg-*.so*; do
        if [ -e "$library" ]; then
            export VLMRES_FUZZ_LIBJPEG=$PWD/$library
            return
        fi
    done
    return 1
}
if [[ " ${targets//$'\n'/ } " == *" jpeg_peer "* && -z ${VLMRES_FUZZ_LIBJPEG:-} ]] && ! find_libjpeg; then
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target fuzz/peer \
        "$(grep '^pillow==' requirements/test.txt)" && find_libjpeg || {
        echo "fuzz: jpeg_peer needs the libjpeg of Pillow's wheel for Linux; name it: VLMRES_FUZZ_LIBJPEG=PATH" >&2
        exit 1
    }
fi
if [ $# -eq 1 ]; then
    cargo fuzz build --fuzz-dir fuzz --release --sanitizer "$sanitizer" "$1"
else
    cargo fuzz build --fuzz-dir fuzz --release --sanitizer "$sanitizer"
fi

# Folders of seeds, and the dictionary.
inputs() {
    case $1 in
    decode_*) echo "${1#decode_} ${1#decode_}" ;;
    jpeg_peer) echo "jpeg jpeg" ;;
    image_size) echo "jpeg,png,webp,gif,bmp,tiff jpeg" ;;
    orientation) echo "exif tiff" ;;
    recipe_toml) echo "recipes recipe_toml" ;;
    checkpoint_json) echo "checkpoints checkpoint_json" ;;
    plan) echo "plans -" ;;
    call) echo "calls -" ;;
    *) echo "- -" ;;
    esac
}

failed=0
logs=fuzz/artifacts
printf '%-16s %12s %9s %9s %9s %8s  %s\n' target executions features edges corpus seconds result
for target in $targets; do
    read -r folders dictionary <<<"$(inputs "$target")"
    options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=384 -max_len=8192)
    options+=(-artifact_prefix="$logs/$target/" -print_final_stats=1)
    [ "$dictionary" = - ] || options+=(-dict="fuzz/dictionaries/$dictionary.dict")
    # Of structured inputs short ones say too little to begin with.
    [ "$dictionary" != - ] || options+=(-len_control=0)
    mkdir -p "fuzz/corpus/$target" "$logs/$target"
    corpora=("fuzz/corpus/$target")
    for folder in ${folders//,/ }; do
        [ "$folder" = - ] || corpora+=("fuzz/seeds/$folder")
    done
    log=$logs/$target/log
    result=passed
    started=$SECONDS
    "${CARGO_TARGET_DIR:-fuzz/target}/$(rustc -vV | sed -n 's/^host: //p')/release/$target" "${options[@]}" "${corpora[@]}" >"$log" 2>&1 || result=FAILED
    counts=$(sed -n 's/^#\([0-9]*\).* cov: \([0-9]*\) ft: \([0-9]*\) corp: \([0-9]*\).*/\1 \3 \2 \4/p' "$log" | tail -n 1)
    read -r executions features edges corpus <<<"${counts:-0 0 0 0}"
    printf '%-16s %12s %9s %9s %9s %8s  %s\n' "$target" "$executions" "$features" "$edges" "$corpus" $((SECONDS - started)) "$result"
    if [ "$result" = FAILED ]; then
        failed=1
        grep -E "panicked|ERROR|SUMMARY|Test unit|Base64|limit" -A 3 "$log" | tail -n 20 >&2 || true
    fi
done
exit $failed
