#!/bin/bash
# sandbox-plus - seconds for the reference solutions of HumanEval+ and MBPP+: first run, with expected values kept, and the bare work
#
#     tests/slow/sandbox-plus.sh [ROUNDS]       3 runs with expected values kept
#
# The bare work is every reference on every input of HumanEval+ in one plain python3, once: CPU seconds that no judge can spare,
# and two processors need half of them at least. (MBPP+'s inputs need EvalPlus's conversions first; the judge has them.)
set -euo pipefail
rounds=${1:-3}
top=$(cd "$(dirname "$0")/../.." && pwd)
s=${APR_BIN:-$top/build/bin}/apr-sandbox
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
export XDG_CACHE_HOME="$tmp/cache"
run() { # benchmark, what: seconds, and how many pass
    local begin=$EPOCHREALTIME
    "$s" --bench "$1" --canonical -q >"$tmp/out"
    local end=$EPOCHREALTIME
    awk -v a="$begin" -v b="$end" -v w="$1, $2" -v p="$(grep -c '"verdict":"pass"' "$tmp/out")" -v n="$(wc -l <"$tmp/out")" \
        'BEGIN {printf "%s: %.1f s, %d of %d pass\n", w, b - a, p, n}'
}
for b in humanevalplus mbppplus; do
    run $b first
    for _ in $(seq "$rounds"); do run $b kept; done
done
zcat "$top/data/bench/HumanEvalPlus.jsonl.gz" | /usr/bin/python3 -c '
import json, sys, time
spent = 0
for t in map(json.loads, sys.stdin):
    space = {}
    exec(t["prompt"] + t["canonical_solution"], space)
    f, begin = space[t["entry_point"]], time.process_time()
    for x in t["base_input"] + t["plus_input"]:
        f(*x)
    spent += time.process_time() - begin
print("humanevalplus, the bare work: %.1f CPU s" % spent)'
