#!/bin/bash
# sandbox-10000 - many jobs in one run of apr-sandbox: neither memory nor descriptors of it and its zygotes grow
#
#     tests/slow/sandbox-10000.sh [JOBS]      10000
#
# Prints what each process had after 300 jobs and after all; exit 1 if one grew by more than 1 MiB or 8 descriptors (a slot
# that is busy has 8 of them at most), or if a verdict is not what it must be.
set -euo pipefail
n=${1:-10000}
top=$(cd "$(dirname "$0")/../.." && pwd)
s=${APR_BIN:-$top/build/bin}/apr-sandbox
tmp=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -r "$tmp"' EXIT
jq -cn --argjson n "$n" 'range($n) as $i | {task_id: "HumanEval/53", sample: $i, code: (
    ["def add(x, y):\n    return x - y\n", "def add(x, y):\n    raise ValueError(\($i))\n", "def add(x, y:\n", "import os\nos._exit(0)\n", "def add(x, y):\n    return [x] * 1000\n"]
    [$i % 10] // "def add(x, y):\n    return x + y  # \($i)\n")}' >"$tmp/in.jsonl"
# the last one keeps all processes there to be looked at
jq -cn --argjson n "$n" '{task_id: "HumanEval/53", sample: $n, code: "import time\ntime.sleep(1000)\n"}' >>"$tmp/in.jsonl"
"$s" --bench humaneval -w 30 --recheck 0 "$tmp/in.jsonl" >"$tmp/out.jsonl" &
pid=$!
look() {
    local p
    for p in $pid $(cat /proc/$pid/task/*/children); do
        echo "$(cat "/proc/$p/comm") $(awk '/VmRSS/{print $2}' "/proc/$p/status") $(ls "/proc/$p/fd" | wc -l)"
    done
}
until [ "$(wc -l <"$tmp/out.jsonl")" -ge 300 ]; do sleep 0.05; done
look >"$tmp/begin"
until [ "$(wc -l <"$tmp/out.jsonl")" -ge "$n" ]; do kill -0 $pid; sleep 0.2; done
sleep 0.5
look >"$tmp/end"
wait $pid
pid=
paste -d' ' "$tmp/begin" "$tmp/end" | awk -v n="$n" '{printf "%s: %d KiB, %d descriptors; after %d jobs %d KiB, %d descriptors\n", $1, $2, $3, n, $5, $6
    bad += $5 > $2 + 1024 || $6 > $3 + 8} END {exit bad > 0 || NR != 3}'
jq -r .verdict "$tmp/out.jsonl" | sort | uniq -c | awk '{print $2, $1}' >"$tmp/got"
printf '%s\n' "early_exit $((n / 10))" "exception $((n / 10))" "pass $((n / 2))" "syntax_error $((n / 10))" "timeout_wall 1" "wrong_answer $((n / 5))" | diff - "$tmp/got"
