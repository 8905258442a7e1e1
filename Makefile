# Everything that one does with this repository. `make` alone prints this list.

.DEFAULT_GOAL := help
# Where rustup puts cargo; not on everybody's PATH.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
.PHONY: help setup demo test check check-features bench pictures learning test-runtimes test-onnx fuzz-smoke audit clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

setup: ## install the system libraries that are missing (the other targets call it)
	@tools/setup.sh

demo: setup ## build the tool and run its main job on what the repository holds
	cargo run --release -- demo

test: setup ## run all tests but those of test-runtimes
	cargo test --workspace --exclude toonify-verify

check: setup ## format, lints and documentation, warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

check-features: setup ## build and test the face alignment without dlib
	cargo clippy -p toonify-align --no-default-features --all-targets -- -D warnings
	cargo test -p toonify-align --no-default-features

bench: setup ## time the operators and the generator
	cargo bench -p toonify-networks

pictures: setup ## render the pictures of docs/blending.md: BASE= TUNED= CHARACTERS= PHOTOS=
	cargo build --release
	TOONIFY=target/release/toonify tools/pictures.sh "$(BASE)" "$(TUNED)" "$(CHARACTERS)" "$(PHOTOS)" docs/pictures

learning: setup ## train on portraits and on characters, and see that it learns (half an hour): PORTRAITS= CHARACTERS= OUT=
	cargo build --release
	TOONIFY=target/release/toonify tools/learning.sh "$(PORTRAITS)" "$(CHARACTERS)" "$(or $(OUT),target/learning)"

test-runtimes: setup ## run exported files in tract, whose compilation takes minutes
	cargo test -p toonify-verify
	cargo test --features verify --test student exported

test-onnx: setup test-runtimes ## the same in onnxruntime too, and a race against it
	@tools/test-onnx.sh

fuzz-smoke: ## feed the checkpoint readers random files, one minute each
	@tools/fuzz-smoke.sh

audit: ## check licences and known vulnerabilities of the dependencies
	@tools/need.sh cargo-deny "cargo install --locked cargo-deny"
	cargo deny check

clean: ## delete what was built
	cargo clean
	rm -rf demo
