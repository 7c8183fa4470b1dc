#!/usr/bin/env bash
# Runs a program as ranks on two machines that are network namespaces with addresses, names and loopbacks of their own:
#   machines.sh RANKS_A RANKS_B PROGRAM ARGUMENTS…
# Exits with 77 where the system does not permit namespaces.
set -euo pipefail
[ "$(id -u)" = 0 ] && command -v ip >/dev/null && command -v unshare >/dev/null || { echo "skipped: needs root, ip and unshare"; exit 77; }
name=diablo$$
a=$name-a b=$name-b
work=$(mktemp -d)
clear_up() {
    ip netns del "$a" 2>/dev/null || true
    ip netns del "$b" 2>/dev/null || true
    rm -rf "$work"
}
trap clear_up EXIT
{ ip netns add "$a" && ip netns add "$b" && ip -n "$a" link add eth type veth peer name eth netns "$b"; } 2>/dev/null ||
    { echo "skipped: network namespaces are not permitted here"; exit 77; }
ip -n "$a" addr add 10.77.0.1/24 dev eth
ip -n "$b" addr add 10.77.0.2/24 dev eth
for machine in "$a" "$b"; do
    ip -n "$machine" link set eth up
    ip -n "$machine" link set lo up
done
# What ssh does between machines: run a line on the other one.
cat >"$work/rsh" <<END
#!/bin/sh
shift
exec ip netns exec $b unshare --uts sh -c "hostname machine-b && \$*"
END
chmod +x "$work/rsh"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ip netns exec "$a" unshare --uts sh -c 'hostname machine-a && exec "$@"' sh \
    mpirun --host "10.77.0.1:$1,10.77.0.2:$2" -n "$(($1 + $2))" --oversubscribe --bind-to none \
    --mca plm_rsh_agent "$work/rsh" --mca btl tcp,self --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 \
    --mca mpi_yield_when_idle 1 "${@:3}"
