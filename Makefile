# The two commands a newcomer needs: `make demo` and `make test`. Both need Rust (rustup.rs) and nothing else.
CARGO ?= cargo

.PHONY: help demo test interop mpi-test fuzz bench lint doc base-model app screenshots web serve web-test web-soak web-bench

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## fine-tune the bundled model: on the GPU where there is one, on the CPU otherwise
	$(CARGO) run --release --quiet -- demo

test: ## all tests, the page's where Chromium and Node are installed, MPI's with FEATURES=mpi; installs Mesa's software Vulkan driver where no Vulkan driver is found
	@FEATURES="$(FEATURES)" tests/run.sh
	@if command -v $${CHROMIUM:-chromium} >/dev/null && command -v node >/dev/null; then $(MAKE) --no-print-directory web-test; \
	else echo "skipped: the page's tests; they need Chromium and Node (on Debian: apt-get install chromium nodejs npm)"; fi

interop: ## what transformers, peft, gguf and huggingface_hub make of our files, and we of theirs; installs them into target/interop
	@tests/interop/run.sh

mpi-test: ## one run by several ranks (mpirun) against one by itself; needs Open MPI and libclang
	@tests/mpi/run.sh

fuzz: ## readers of foreign bytes against bytes that nobody wrote, SECONDS=600 each; TARGETS="config rows" for some of them
	@fuzz/run.sh $(or $(SECONDS),600) $(TARGETS)

bench: ## the figures of the README
	$(CARGO) run --release --quiet -- bench --profile
	$(CARGO) run --release --quiet -- bench methods --shape smollm2-135m --blocks 32 --batch-size 4
	$(CARGO) run --release --quiet -- bench growth

lint: ## formatting and clippy, as CI runs them
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path web/xtask/Cargo.toml
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --all-targets --quiet -- -D warnings

base-model: ## make the bundled base model again; see assets/README.md
	$(CARGO) run --release --quiet --example write_demo_data -- target/base assets/demo
	$(CARGO) run --release --quiet -- train --config assets/base.toml
	cp target/base/run/model/*.json target/base/run/model/model.safetensors assets/demo/model/

doc: ## the library's documentation
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --quiet

app: ## the window
	$(CARGO) run --release --quiet -- app

screenshots: ## pictures of every page of the app, into target/screenshots
	@tests/screenshots.sh

web: ## the page: web/dist, for any static host
	$(CARGO) run --quiet --manifest-path web/xtask/Cargo.toml -- build

serve: ## shows the page on this machine; PORT=8080
	$(CARGO) run --quiet --manifest-path web/xtask/Cargo.toml -- serve $(PORT)

web-test: ## the page in a real browser, headless; needs Chromium and Node
	$(CARGO) run --quiet --manifest-path web/xtask/Cargo.toml -- build-for-tests
	@web/tests/run.sh

web-soak: web ## 10,000 steps on the page, with memory at start and end; STEPS=10000
	@cd web/tests && { [ -d node_modules ] || npm ci --no-audit --no-fund --silent; } && node soak.mjs $(STEPS)

web-bench: web ## tokens a second of the page against the native program
	$(CARGO) build --release --quiet
	@cd web/tests && { [ -d node_modules ] || npm ci --no-audit --no-fund --silent; } && node bench.mjs
