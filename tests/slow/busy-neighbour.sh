#!/bin/sh
# busy-neighbour.sh - what decode keeps beside one process that fills one of the process's CPUs
#
# usage: tests/slow/busy-neighbour.sh [MODEL.apr [ROUNDS]]     (the built-in model, 3)
#
# Rounds of four runs in turns: alone, beside a busy loop on the first CPU, alone, beside one on the
# last.  Each run decodes one sequence at a time; its rate is the median of its answers'.  Prints the
# rates and the ratio of the medians; exit 1 if less than 40 % is kept.  Two threads on two CPUs
# unless THREADS and CPUS (a list for taskset) say otherwise.  On a machine that others use, run it
# in a control group with a large cpu.weight (cpu.shares) of its own.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${APR_BIN:-$top/build/bin}
dir=$(mktemp -d)
busy=
trap '[ -z "$busy" ] || kill $busy; rm -rf "$dir"' EXIT
model=${1:-$dir/tiny.apr}
rounds=${2:-3}
threads=${THREADS:-2}
cpus=${CPUS:-0,1}
[ $# -gt 0 ] || "$bin/gguf2apr" "$top/data/models/tiny-coder-29m-Q8_0.gguf" -o "$model"
"$bin/apr-prompt" --bench basic --limit 8 -o "$dir/prompts.jsonl"

rate() {
    taskset -c "$cpus" "$bin/apr-gen" -m "$model" "$dir/prompts.jsonl" -q --batch 1 -n 100 --threads "$threads" --timings |
        jq -s 'map(.tok_per_sec) | sort | .[length / 2 | floor]'
}
beside() {
    taskset -c "$1" sh -c 'while :; do :; done' &
    busy=$!
    sleep 0.2
    rate
    kill $busy
    wait $busy 2>/dev/null || :
    busy=
}
for i in $(seq "$rounds"); do
    for cpu in "${cpus%%[,-]*}" "${cpus##*[,-]}"; do
        rate >>"$dir/alone"
        beside "$cpu" >>"$dir/busy$cpu"
    done
done
for f in "$dir"/alone "$dir"/busy?*; do
    echo "${f##*/}: $(jq -s -c 'map(. * 10 | round / 10) | sort' "$f") tok/s"
done
for cpu in "${cpus%%[,-]*}" "${cpus##*[,-]}"; do
    jq -n -r --slurpfile a "$dir/alone" --slurpfile b "$dir/busy$cpu" --arg cpu "$cpu" '
      def median: sort | .[length / 2 | floor];
      ($b | median) / ($a | median) | "kept beside a busy loop on CPU \($cpu): \(. * 100 | round) %", (if . < 0.4 then "less than 40 %" | halt_error(1) else empty end)'
done
