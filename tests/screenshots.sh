#!/bin/sh
# Pictures of every page of the app into target/screenshots: the app trains the demo and takes them itself. Where there is no
# display, one is made in memory.
set -eu
cd "$(dirname "$0")/.."
out=${1:-target/screenshots}
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || [ "$(uname -s)" != Linux ]; then
    shell=
elif command -v xvfb-run >/dev/null 2>&1; then
    shell="xvfb-run -a -s '-screen 0 1280x800x24'"
else
    echo "no display, and no Xvfb to make one: install it (Debian, Ubuntu: apt-get install xvfb)"
    exit 1
fi
rm -rf "$out"
# The app's runs and its settings belong to the pictures, not to the person.
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
${CARGO:-cargo} build --release --quiet
program=$(pwd)/${CARGO_TARGET_DIR:-target}/release/diablo
case ${CARGO_TARGET_DIR:-} in /*) program=$CARGO_TARGET_DIR/release/diablo ;; esac
mkdir -p "$out"
pictures=$(cd "$out" && pwd)
(cd "$home" && HOME=$home XDG_DATA_HOME=$home/data XDG_RUNTIME_DIR=$home eval "$shell" '"$program"' app --screenshots '"$pictures"')
ls "$out"
