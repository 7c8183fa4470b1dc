#!/bin/sh
# What other programs make of diablo's files, and diablo of theirs: a Python with the pinned packages, in target/interop, and the tests
# that ask it. DIABLO_PYTHON names another Python that has them; NODE_LLAMA_CPP a folder where npm has installed node-llama-cpp.
set -eu
cd "$(dirname "$0")/../.."
if [ -z "${DIABLO_PYTHON:-}" ]; then
    python=${PYTHON:-python3}
    if ! command -v "$python" >/dev/null 2>&1; then
        echo "skipped: $python was not found; these tests need Python 3.10 or newer"
        exit 0
    fi
    venv=target/interop
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/interop/requirements.txt
    DIABLO_PYTHON=$PWD/$venv/bin/python
fi
export DIABLO_PYTHON
cargo=${CARGO:-cargo}
"$cargo" test --test interop --test hub -- --show-output
"$cargo" test --test engine --test texts --test gguf --test runs -- adapters:: methods:: templates:: tasks:: elsewhere:: merging:: recipe:: logs:: --show-output
