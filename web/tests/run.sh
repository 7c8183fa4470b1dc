#!/bin/sh
# The page's tests. They need a page (`make web`), Node 20 or newer and Chromium; CHROMIUM names another than /usr/bin/chromium.
set -eu
cd "$(dirname "$0")"
: "${CHROMIUM:=/usr/bin/chromium}"
export CHROMIUM
if ! command -v node >/dev/null || ! [ -x "$CHROMIUM" ]; then
    echo "skipped: no Node or no Chromium; install them, on Debian: apt-get install nodejs npm chromium"
    exit 0
fi
[ -d node_modules ] || npm ci --no-audit --no-fund --silent
node --test --test-concurrency=1 --test-reporter=spec
