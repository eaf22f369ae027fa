#!/usr/bin/env bash
# Says what a machine lacks for `make test`; on Debian and Ubuntu, with --install, installs it.
set -euo pipefail

missing=()
need() { # COMMAND PACKAGE WHY
    command -v "$1" >/dev/null 2>&1 || { echo "missing: $1 ($3)"; missing+=("$2"); }
}
need make make "runs everything"
need cc build-essential "linker, and libwebp's C"
need git git "the repository"
need python3 python3 "CPython 3.10 or later"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || echo "missing: CPython 3.10 or later"
python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: venv of python3"; missing+=(python3-venv); }

rust=1.89
found=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
if [ -z "$found" ] || [ "$(printf '%s\n%s\n' "$rust" "$found" | sort -V | head -n 1)" != "$rust" ]; then
    echo "missing: Rust $rust or later${found:+, this is $found}: https://rustup.rs, then: rustup component add rustfmt clippy"
elif ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    echo "missing: rustup component add rustfmt clippy"
fi

if [ ${#missing[@]} -gt 0 ] && [ "${1:-}" = --install ] && command -v apt-get >/dev/null 2>&1; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update
    $sudo apt-get install --yes "${missing[@]}"
elif [ ${#missing[@]} -gt 0 ]; then
    echo "On Debian or Ubuntu: ./prepare.sh --install installs ${missing[*]}"
    exit 1
fi
echo "ready: make demo, then make test"
