#!/bin/sh
# The page's tests. They need Node 20 or newer and Chromium; CHROMIUM names another than /usr/bin/chromium. The page is the one that
# `make web-test` builds, or DIABLO_PAGE: with web/dist, what visitors get is tested.
set -eu
cd "$(dirname "$0")"
: "${CHROMIUM:=/usr/bin/chromium}"
: "${DIABLO_PAGE:=$PWD/dist}"
export CHROMIUM DIABLO_PAGE
if ! command -v node >/dev/null || ! [ -x "$CHROMIUM" ]; then
    echo "skipped: no Node or no Chromium; install them, on Debian: apt-get install nodejs npm chromium"
    exit 0
fi
[ -d node_modules ] || npm ci --no-audit --no-fund --silent
node --test --test-concurrency=1 --test-reporter=spec
