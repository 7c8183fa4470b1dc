#!/usr/bin/env bash
# One run by several ranks, by MPI too: needs Open MPI with its headers, and libclang.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v mpirun >/dev/null || ! command -v mpicc >/dev/null; then
    echo "skipped: runs by MPI; they need Open MPI (on Debian: apt-get install openmpi-bin libopenmpi-dev libclang-dev)"
    exit 0
fi
exec "${CARGO:-cargo}" test --features mpi --test ranks -- mpi --show-output --test-threads 1
