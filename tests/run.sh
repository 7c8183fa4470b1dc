#!/bin/sh
# Runs every test, with the features in FEATURES, and says how many were skipped and why. The shaders must be tested, so where no
# Vulkan driver is found Mesa's software driver is installed (Debian and Ubuntu; elsewhere the tests that need a driver are skipped,
# and say so).
set -u
cd "$(dirname "$0")/.." || exit 1

has_driver() {
    [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] && return 0
    for folder in /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d; do
        ls "$folder"/*.json >/dev/null 2>&1 && return 0
    done
    return 1
}

if [ "$(uname -s)" = Linux ] && ! has_driver; then
    if command -v apt-get >/dev/null 2>&1; then
        echo "no Vulkan driver found: installing mesa-vulkan-drivers, so that the shaders can be tested"
        as_root=
        [ "$(id -u)" -eq 0 ] || as_root=sudo
        if ! { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers; } >/tmp/diablo-apt.$$ 2>&1; then
            tail -3 /tmp/diablo-apt.$$
            echo "mesa-vulkan-drivers could not be installed: tests of the shaders will be skipped"
        fi
        rm -f /tmp/diablo-apt.$$
    else
        echo "no Vulkan driver found: install one (on Fedora and Arch: mesa-vulkan-drivers, vulkan-swrast) to test the shaders"
    fi
fi

# The driver complains on every start where this is not set.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
    XDG_RUNTIME_DIR=$(mktemp -d)
    export XDG_RUNTIME_DIR
    trap 'rmdir "$XDG_RUNTIME_DIR" 2>/dev/null' EXIT
fi

mkdir -p target
log=target/test.log
${CARGO:-cargo} test --no-fail-fast ${FEATURES:+--features "$FEATURES"} -- --show-output 2>&1 | tee "$log" | grep -E --line-buffered '^(test |error|warning: unused| +Running| +Compiling diablo|failures:|----.*stdout|thread |assertion|waited |  left:| right:)' | grep -v --line-buffered '^error: XDG'

count() { sed -nE "s/^test result: .* ([0-9]+) $1.*/\1/p" "$log" | awk '{ n += $1 } END { print n + 0 }'; }
passed=$(count passed)
failed=$(count failed)
skipped=$(grep -c '^skipped: ' "$log")
ignored=$(count ignored)
if [ "$skipped" -gt 0 ]; then
    echo
    echo "skipped, and why:"
    grep '^skipped: ' "$log" | sort | uniq -c
fi
echo
# A test that was skipped has returned early and counts as passed in cargo's own lines.
echo "$((passed - skipped)) passed, $failed failed, $((skipped + ignored)) skipped"
if [ "$passed" -eq 0 ] || [ "$failed" -ne 0 ] || grep -q '^error: could not compile\|^error: test failed\|^error\[' "$log"; then
    echo "the whole log: $log"
    exit 1
fi
