#!/bin/bash
# perplexity-types - the fast path's perplexity with each weight type beside that of the same weights in F32 arithmetic
#
#     tests/slow/perplexity-types.sh TEXT [MODEL.apr]     (the built-in model; TEXT: golden/ppl_text.txt)
#
# Settings are variables of the environment: APR_BIN (build/bin), TYPES (all of the CPU engine's; "q6_k:mix" is the mix that the
# type names, others all weights of the one type), DEVICE (cpu), THREADS (0, all), LIMIT (0.1, per cent).
# The model's weights are rounded to the type, and what that gives is computed twice: as it is, activations rounded to bytes,
# and with its weights written as F32, which loses nothing. A minute of processor time a type. Prints type, both perplexities
# and the difference in per cent; exit 1 if one is above the limit.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${APR_BIN:-$top/build/bin}
text=${1:?TEXT}
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
model=${2:-$tmp/model.apr}
[ $# -gt 1 ] || "$bin/gguf2apr" "$top/data/models/tiny-coder-29m-Q8_0.gguf" -o "$model"
ppl() {
    "$bin/apr-ppl" "$1" "$text" --json --device "${DEVICE:-cpu}" --threads "${THREADS:-0}" | sed 's/.*"ppl":\([0-9.]*\).*/\1/'
}
bad=0
for type in ${TYPES:-q8_0 q4_0 q4_1 q5_0 q5_1 q4_k_s q5_k_s q6_k q4_k_m:mix f16 bf16}; do
    mix=(--pure)
    [ "${type%:mix}" = "$type" ] || mix=()
    "$bin/apr-quant" "$model" -t "${type%:mix}" "${mix[@]}" --requantize --no-verify -q -o "$tmp/q.apr"
    "$bin/apr-quant" "$tmp/q.apr" -t f32 --requantize --no-verify -q -o "$tmp/f.apr"
    awk -v t="$type" -v a="$(ppl "$tmp/q.apr")" -v b="$(ppl "$tmp/f.apr")" -v limit="${LIMIT:-0.1}" 'BEGIN {
        d = (a / b - 1) * 100
        printf "%-11s %.5f %.5f %+.4f %%\n", t, a, b, d
        exit d > limit || d < -limit}' || bad=1
done
exit $bad
