#!/bin/sh
# Train the queue of reproductions on one core, one thread: sh scripts/reproduce_cpu.sh [PIECE ...]
#
# The same command resumes the queue: finished seeds are kept, others are resumed from their last checkpoints (at most about
# 5 minutes back). After each piece its records are written to docs/results, to be committed.
# Pieces, in order: rings goodfellow pacgan_ring pacgan_grid; all by default.
#
#   CORE=1 sh scripts/reproduce_cpu.sh     on core 1 (Linux; else the first that it may use)
#   KEEP=DIR, GAN=PROGRAM                  other places for the records, and of gan (.venv/bin/gan)
#
# Exit status: 0: the queue is finished; 75: stopped, run the same command to resume; 2: a run failed, or an argument is
# wrong.
set -u
cd "$(dirname "$0")/.." || exit 2

gan=${GAN:-.venv/bin/gan}
keep=${KEEP:-docs/results}
core=${CORE:-}
resume=75
child=
stopped=
failed=

# say SENTENCE: to standard error, as gan does
say() {
    echo "reproduce_cpu: $1" >&2
}

# Ask gan to stop with a checkpoint. Asked twice it doesn't wait for one, and a terminal's Ctrl-C has asked it already.
stop() {
    stopped=1
    [ -z "$child" ] || { [ "$1" = INT ] && [ -t 0 ]; } || kill -s TERM "$child" 2>/dev/null
}
trap 'stop TERM' TERM
trap 'stop HUP' HUP
trap 'stop INT' INT

# train SEEDS RECIPE ...: to the whole budget, or as far as it comes
train() {
    [ -z "$stopped" ] || return 0
    seeds=$1
    shift
    say "$* over $seeds seeds"
    set -- "$gan" reproduce "$@" --seeds "$seeds" --budget paper --keep "$keep" -- pool.runs=1 pool.cores=1 logger=none
    [ -z "$core" ] || set -- taskset -c "$core" "$@"
    OMP_NUM_THREADS=1 "$@" &
    child=$!
    wait "$child"
    status=$?
    while kill -0 "$child" 2>/dev/null; do # a signal interrupts wait, and gan may still write its checkpoint
        wait "$child"
        status=$?
    done
    child=
    case $status in
        0) ;;
        "$resume") stopped=1 ;;
        *)
            [ -n "$stopped" ] || say "gan ended with exit status $status, next piece"
            failed=1
            ;;
    esac
}

# piece NAME COMMAND: call COMMAND SEEDS RECIPE ... of one part of the queue
piece() {
    case $1 in
        rings) "$2" 5 unrolled_ring veegan_ring veegan_grid ;;
        goodfellow) "$2" 3 goodfellow2014_mnist ;;
        pacgan_ring) "$2" 3 pacgan_ring pacgan_ring_pacgan2 ;;
        pacgan_grid) "$2" 3 pacgan_grid pacgan_grid_pacgan2 ;;
        *)
            say "there is no piece $1: give rings, goodfellow, pacgan_ring, pacgan_grid, or nothing for all"
            exit 2
            ;;
    esac
}

if [ ! -x "$gan" ] && ! command -v "$gan" >/dev/null; then
    say "there is no $gan: run make install first, or give GAN=PROGRAM"
    exit 2
fi
if [ -n "$core" ] && ! command -v taskset >/dev/null; then
    say "CORE=$core needs taskset, which isn't here: leave CORE out"
    exit 2
fi
[ $# -gt 0 ] || set -- rings goodfellow pacgan_ring pacgan_grid
for name in "$@"; do
    piece "$name" :
done
for name in "$@"; do
    piece "$name" train
done
if [ -n "$stopped" ]; then
    say "stopped; run the same command to resume"
    exit "$resume"
fi
[ -z "$failed" ] || exit 2
