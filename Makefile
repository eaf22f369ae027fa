# make demo    the main job on the sample images (needs Rust, CPython 3.10+ with venv, and make)
# make test    everything that must hold: format, lints, types, stubs, Rust and Python tests
# make help    all targets

PYTHON ?= python3
# What `make compare` does.
ARGS ?= run
# How long `make fuzz` runs each target, and which.
SECONDS ?= 60
TARGETS ?=
# Versions of `make test-encoder`.
TORCH ?= 2.11
TRANSFORMERS ?= 5.17
VENV := .venv
BIN := $(VENV)/bin
# A Pillow of the 12 series beside the environment's own, for the tests of its order of passes.
PILLOW12 := $(VENV)/pillow-12.3
# Another transformers beside the environment's own, for the tests of the drop-in: make test-transformers VERSION=5.19
VERSION ?= 5.19
DROP_IN := $(VENV)/transformers-$(VERSION)
# Pillow-SIMD, which has Pillow's name: benches/compare/fleet.py looks for it here.
PILLOW_SIMD := $(VENV)/pillow-simd
# PYTHON=3.12 is python3.12.
INTERPRETER := $(if $(filter 3.%,$(PYTHON)),python$(PYTHON),$(PYTHON))
ENCODER := $(VENV)/encoder/torch-$(TORCH)-transformers-$(TRANSFORMERS)-$(notdir $(INTERPRETER))
RAY := $(VENV)/ray
SERVERS := $(VENV)/servers
LAB := $(VENV)/lab
# What `make lab-grid` compares.
GRID := llava-1.5 llava-1.5-pad llava-next deepseek-ocr-tiny deepseek-ocr-base deepseek-ocr-gundam internvl2 \
	nativeres-llava qwen2-vl@256 qwen2-vl@1280 qwen2-vl@4096 qwen3-vl@1024
ARM := aarch64-unknown-linux-gnu
# A process a core, and no more than four: each holds torch and transformers. PARALLEL= runs the tests in one process.
PARALLEL ?= --numprocesses auto --maxprocesses 4 --dist worksteal

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
# Tests need no network; no library may reach for one.
export HF_HUB_OFFLINE := 1

.DEFAULT_GOAL := help
.PHONY: help demo audit test quick lint lint-rust lint-python test-rust test-python test-transformers test-encoder test-ray test-lab test-browser lab-grid test-servers test-vllm test-loom docs test-aarch64 build build-demo build-lab fuzz bench compare compare-loading prove-loading fmt clean prerequisites

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

demo: build-demo ## Run the main job on the sample images and draw what each strategy sees
	$(BIN)/python -m vlmres demo

test: lint test-rust test-python ## Everything that must hold

quick: build-demo ## Known answers and invariants in a few seconds after a build; needs neither torch nor transformers
	@$(BIN)/python -c "import pytest, pytest_timeout" 2>/dev/null || $(BIN)/python -m pip install pytest pytest-timeout
	$(BIN)/python -m pytest -q tests/quick

lint: lint-rust lint-python ## Format, lints, types and stubs

lint-rust: prerequisites
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || \
		{ echo "make: rustfmt or clippy is missing; install them: rustup component add rustfmt clippy" >&2; exit 1; }
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --features python --lib -- -D warnings
	cargo fmt --manifest-path fuzz/Cargo.toml --check

lint-python: build
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest vlmres._core

test-rust: prerequisites
	cargo test --locked --quiet

test-python: build $(PILLOW12)/.installed
	VLMRES_TEST_PILLOW12=$(abspath $(PILLOW12)) $(BIN)/python -m pytest $(PARALLEL)

test-transformers: build $(DROP_IN)/.installed ## Tests of the drop-in with another transformers: VERSION=5.19
	PYTHONPATH=$(abspath $(DROP_IN)) $(BIN)/python -m pytest tests/integrations

test-encoder: $(ENCODER)/.installed ## The encoder's tests on other versions: TORCH=2.11 TRANSFORMERS=5.17 PYTHON=3.12
	VIRTUAL_ENV=$(abspath $(ENCODER)) $(ENCODER)/bin/maturin develop --release --quiet --skip-install
	$(ENCODER)/bin/python -m pytest tests/encoder

test-ray: $(RAY)/.installed ## Tests on a local Ray cluster of two nodes, in an environment of their own
	VIRTUAL_ENV=$(abspath $(RAY)) $(RAY)/bin/maturin develop --release --quiet --skip-install
	$(RAY)/bin/python -m pytest -p no:logging tests/ray

build-lab: $(LAB)/.installed
	VIRTUAL_ENV=$(abspath $(LAB)) $(LAB)/bin/maturin develop --release --quiet --skip-install

test-lab: build-lab ## Tests of the resolution lab with a real reader, in an environment of their own
	VLMRES_TEST_LAB=1 $(LAB)/bin/python -m pytest tests/lab

test-browser: build docs ## The lab's report and the site in Chromium (Debian: apt install chromium)
	VLMRES_TEST_BROWSER=1 $(BIN)/python -m pytest tests/lab/test_browser.py tests/test_site.py

lab-grid: build-lab ## The grid's tables in docs/lab/, by two readers: about 4 minutes of processor time each
	$(LAB)/bin/python -m pip install --no-deps rapidocr-onnxruntime==1.4.4
	rm -rf out/lab
	@for reader in pp-ocrv6 pp-ocrv4; do \
		$(LAB)/bin/vlmres lab --grid --seed 0 --lines 2 $(addprefix -r ,$(GRID)) --reader $$reader -o out/lab/$$reader || exit 1; \
		cp out/lab/$$reader/table.csv docs/lab/$$reader.csv; done
	$(BIN)/python docs/tables.py

test-loom: prerequisites ## All interleavings of what threads share without a lock
	RUSTFLAGS="--cfg loom" cargo test --locked --release --lib --target-dir target/loom -- loom_tests

test-servers: $(SERVERS)/.installed ## Recipes beside mistral-common, qwen-vl-utils, llava-torch, vLLM's classes and SGLang's base, live
	VIRTUAL_ENV=$(abspath $(SERVERS)) $(SERVERS)/bin/maturin develop --release --quiet --skip-install
	OPENCV_IPP=disabled $(SERVERS)/bin/python -m pytest -W ignore tests/servers/references tests/servers/sglang

test-vllm: $(SERVERS)/.installed ## vLLM's processor pipelines with vlmres and without, in an environment of their own
	VIRTUAL_ENV=$(abspath $(SERVERS)) $(SERVERS)/bin/maturin develop --release --quiet --skip-install
	$(SERVERS)/bin/python -m pytest -W ignore --timeout=1200 tests/servers/vllm

test-aarch64: prerequisites ## Rust tests for AArch64, emulated: what an x86-64 machine cannot run of `make test`
	@[ -d "$$($${RUSTC:-rustc} --print target-libdir --target $(ARM))" ] || \
		{ echo "make: Rust has no libraries for $(ARM); install them: rustup target add $(ARM)" >&2; exit 1; }
	@command -v aarch64-linux-gnu-gcc >/dev/null 2>&1 || \
		{ echo "make: a linker for AArch64 is missing (Debian: apt install gcc-aarch64-linux-gnu)" >&2; exit 1; }
	@command -v qemu-aarch64 >/dev/null 2>&1 || \
		{ echo "make: qemu-aarch64 is missing (Debian: apt install qemu-user)" >&2; exit 1; }
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=/usr/aarch64-linux-gnu/lib" \
		cargo test --locked --quiet --release --target $(ARM)

fuzz: prerequisites ## Every fuzz target in turn (needs cargo-fuzz): SECONDS=60 TARGETS="decode_jpeg plan"
	fuzz/run.sh $(SECONDS) $(TARGETS)

build: $(VENV)/.test ## Install the package and all that its tests need into .venv
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --quiet --skip-install

build-demo: $(VENV)/.demo
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --quiet --skip-install

bench: prerequisites ## Criterion benchmarks of the Rust core
	cargo bench --locked

compare: build $(VENV)/.bench ## vlmres beside its peers; ARGS="run --help" and so on for more
	$(BIN)/python -m benches.compare $(ARGS)

compare-loading: build $(VENV)/.bench ## Core-ms an image in a training loop, beside transformers and SPDL; ARGS="--rounds 5 --read"
	$(BIN)/python -m benches.loading $(filter-out run,$(ARGS))

prove-loading: build ## The long proof of shared_collate and Loader: start methods, workers, 10,000 batches
	$(BIN)/python -m benches.loading_proof

docs: build-demo $(VENV)/.docs ## The documentation site, in out/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

audit: $(VENV)/.audit ## Advisories, licences and sources of dependencies (needs cargo-deny and the network)
	@cargo deny --version >/dev/null 2>&1 || \
		{ echo "make: cargo-deny is missing; install it: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny --all-features --locked check
	$(BIN)/python -m pip_audit --strict --requirement requirements/audit.txt

fmt: build ## Format all code
	cargo fmt
	cargo fmt --manifest-path fuzz/Cargo.toml
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove what the other targets made
	rm -rf $(VENV) target out dist
	rm -f python/vlmres/_core*.so

$(VENV)/.maturin: Makefile | prerequisites
	@echo "make: an environment in $(VENV)"
	@$(INTERPRETER) -m venv $(VENV)
	@$(BIN)/python -m pip install "maturin>=1.10,<2"
	@touch $@

# pip installs what the command line needs while rustc works; the last line checks it against pyproject.toml.
$(VENV)/.demo: $(VENV)/.maturin pyproject.toml
	@echo "make: compiling vlmres; the first time takes a minute or two"
	@export PIP_NO_COMPILE=1 VIRTUAL_ENV=$(abspath $(VENV)); \
		$(BIN)/python -m pip install numpy pillow rich safetensors typer & installing=$$!; \
		$(BIN)/maturin develop --release --skip-install; compiled=$$?; \
		wait $$installing && [ $$compiled = 0 ] && \
		$(BIN)/maturin develop --release --quiet --extras cli
	@touch $@

$(VENV)/.test: $(VENV)/.maturin pyproject.toml requirements/test.txt
	@echo "make: compiling vlmres and installing what its tests need; the first time takes some minutes"
	$(BIN)/python -m pip install --requirement requirements/test.txt
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --quiet --extras cli
	@touch $(VENV)/.demo $@

$(VENV)/.docs: $(VENV)/.demo requirements/docs.txt
	$(BIN)/python -m pip install --requirement requirements/docs.txt
	@touch $@

$(VENV)/.audit: $(VENV)/.demo requirements/audit.txt
	$(BIN)/python -m pip install pip-audit==2.10.1
	@touch $@

$(PILLOW12)/.installed: $(VENV)/.test
	$(BIN)/python -m pip install --no-deps --upgrade --target $(PILLOW12) pillow==12.3.0
	@touch $@

# With what it needs in versions of its own, and all else as it is in the environment.
$(DROP_IN)/.installed: $(VENV)/.test
	$(BIN)/python -m pip freeze --exclude transformers --exclude huggingface_hub --exclude vlmres > $(DROP_IN).txt
	$(BIN)/python -m pip install --upgrade --target $(DROP_IN) --constraint $(DROP_IN).txt "transformers==$(VERSION).*"
	@touch $@

$(ENCODER)/.installed: requirements/encoder.txt pyproject.toml Makefile | prerequisites
	@echo "Installing torch $(TORCH) and transformers $(TRANSFORMERS) into $(ENCODER); that may take some minutes."
	$(INTERPRETER) -m venv $(ENCODER)
	$(ENCODER)/bin/python -m pip install --requirement requirements/encoder.txt \
		"torch==$(TORCH).*" torchvision "transformers==$(TRANSFORMERS).*"
	VIRTUAL_ENV=$(abspath $(ENCODER)) $(ENCODER)/bin/maturin develop --release --quiet --extras cli,encoder
	@touch $@

$(RAY)/.installed: requirements/test.txt pyproject.toml Makefile | prerequisites
	@echo "Installing Ray into $(RAY); that may take some minutes."
	$(INTERPRETER) -m venv $(RAY)
	$(RAY)/bin/python -m pip install --requirement requirements/test.txt
	VIRTUAL_ENV=$(abspath $(RAY)) $(RAY)/bin/maturin develop --release --quiet --extras cli,encoder,ray
	@touch $@

$(LAB)/.installed: requirements/test.txt requirements/lab.txt pyproject.toml | prerequisites
	@echo "Installing the resolution lab into $(LAB); that may take some minutes."
	$(INTERPRETER) -m venv $(LAB)
	$(LAB)/bin/python -m pip install --requirement requirements/test.txt --requirement requirements/lab.txt
	VIRTUAL_ENV=$(abspath $(LAB)) $(LAB)/bin/maturin develop --release --quiet --extras cli,encoder,lab
	@touch $@

$(SERVERS)/.installed: requirements/servers.txt requirements/servers-unpinned.txt pyproject.toml Makefile | prerequisites
	@echo "Installing vLLM, SGLang and their like into $(SERVERS); that may take some minutes."
	$(INTERPRETER) -m venv $(SERVERS)
	$(SERVERS)/bin/python -m pip install --requirement requirements/servers.txt
	$(SERVERS)/bin/python -m pip install --no-deps --requirement requirements/servers-unpinned.txt
	VIRTUAL_ENV=$(abspath $(SERVERS)) $(SERVERS)/bin/maturin develop --release --quiet --extras files
	@touch $@

# Peers that cannot be installed here are skipped, by the benchmark too.
$(VENV)/.bench: $(VENV)/.test requirements/bench.txt
	@grep -v '^#' requirements/bench.txt | while read -r peer; do \
		$(BIN)/python -m pip install --no-deps "$$peer" || echo "make: $$peer cannot be installed here" >&2; done
	@echo "Building Pillow-SIMD; this takes a minute."
	@CC="$${CC:-cc} -mavx2" $(BIN)/python -m pip install --no-deps --no-binary pillow-simd --upgrade --target $(PILLOW_SIMD) \
		pillow-simd==12.1.1.post0 || echo "make: Pillow-SIMD cannot be built here; it needs an x86-64 processor with AVX2, \
	a C compiler, and the headers of Python, libjpeg and zlib (Debian: apt install python3-dev libjpeg-dev zlib1g-dev)" >&2
	@touch $@

prerequisites:
	@command -v cargo >/dev/null 2>&1 || \
		{ echo "make: cargo is missing; install Rust 1.89 or later from https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 || \
		{ echo "make: a C linker is missing; install gcc or clang (Debian: apt install gcc; macOS: xcode-select --install)" >&2; exit 1; }
	@command -v $(INTERPRETER) >/dev/null 2>&1 || \
		{ echo "make: $(INTERPRETER) is missing; install CPython 3.10 or later, or say which: make PYTHON=python3.12" >&2; exit 1; }
	@$(INTERPRETER) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "make: $(INTERPRETER) is older than 3.10; say which to use: make PYTHON=python3.12" >&2; exit 1; }
	@$(INTERPRETER) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "make: $(INTERPRETER) has no venv; install it (Debian: apt install python3-venv)" >&2; exit 1; }
