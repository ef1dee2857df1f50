#!/bin/bash
# train-speed - training tokens a second of apr-lora: float32 and bf16, one thread and two, and where the time goes
#
#     tests/slow/train-speed.sh [STEPS] [DEVICE...]      60 steps of recipe-a's setting; devices: cpu
#
# Needs apr-lora and gguf2apr (APR_BIN, or build/bin), the built-in model and its training data (MODEL and DATA, or the
# checkout's); nothing else of the tree, so that it runs where only those are copied.  Binaries that were built elsewhere: link with
# LDFLAGS=-static, or copy their libraries too.  Prints tokens/s of the training steps alone, the best of two runs in turns, then
# the parts of the last bf16 run.  On a machine with AMX, bf16 on cpu:amx is held against cpu:avx512's adapter, byte for byte.
set -euo pipefail
steps=${1:-60}
shift || true
devices=("${@:-cpu}")
top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${APR_BIN:-$top/build/bin}
model=${MODEL:-$top/data/models/tiny-coder-29m-Q8_0.gguf}
data=${DATA:-$top/data/train/basic-finetune.jsonl.gz}
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
"$bin/gguf2apr" "$model" -o "$tmp/m.apr"
zcat "$data" >"$tmp/d.jsonl"
lora() { # threads device precision steps out: the log to stderr's file
    "$bin/apr-lora" -v "$tmp/m.apr" --data "$tmp/d.jsonl" -o "$tmp/$5" --rank 16 --alpha 32 --lr 2e-3 --warmup 0.03 --batch 8 \
        --save-every 0 --max-steps "$4" --threads "$1" --device "$2" --precision "$3" 2>"$tmp/log"
    sed -nE 's/.* tokens in .* s, ([0-9]+) tokens\/s/\1/p' "$tmp/log"
}
for device in "${devices[@]}"; do
    for round in 1 2; do
        for threads in 1 2; do
            for precision in f32 bf16; do
                n=$steps
                [ "$precision" = bf16 ] || n=$(((steps + 3) / 4)) # it is the slow one
                lora "$threads" "$device" "$precision" "$n" a >>"$tmp/$device.$threads.$precision"
                [ "$precision" = bf16 ] && cp "$tmp/log" "$tmp/parts"
            done
        done
    done
    for threads in 1 2; do
        for precision in f32 bf16; do
            printf '%s, %d threads, %s: %s tokens/s\n' "$device" "$threads" "$precision" "$(sort -n "$tmp/$device.$threads.$precision" | tail -1)"
        done
    done
    grep 'us a token' "$tmp/parts"
done
if lora 2 cpu:amx bf16 3 amx >/dev/null; then
    lora 2 cpu:avx512 bf16 3 avx512 >/dev/null
    cmp "$tmp/amx/adapter_model.safetensors" "$tmp/avx512/adapter_model.safetensors"
    echo "cpu:amx and cpu:avx512: the same adapter after 3 steps"
fi
