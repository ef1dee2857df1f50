#!/bin/bash
# sandbox-speed - problems a second: cold python3, openai/human-eval's way, apr-sandbox with two processes and with one
#
#     tests/slow/sandbox-speed.sh [ROUNDS] [SAMPLES]      3 rounds in turns, 10 samples of each HumanEval solution
#
# Cold python3 is what `python3 problem.py` costs, two at a time, with no isolation at all. human-eval's way, as its execution.py
# has it, is a pool of two threads, each with a multiprocessing.Manager and a Process for every program, and the code in the process
# that decides. Prints medians of ROUNDS, their ratios to cold python3, and the largest resident memory of apr-sandbox and its zygotes.
set -euo pipefail
rounds=${1:-3} samples=${2:-10}
top=$(cd "$(dirname "$0")/../.." && pwd)
s=${APR_BIN:-$top/build/bin}/apr-sandbox
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
zcat "$top/data/bench/HumanEval.jsonl.gz" >"$tmp/bench.jsonl"
mkdir "$tmp/py"
/usr/bin/python3 - "$tmp" "$samples" <<'PY'
import json, sys
tmp, samples = sys.argv[1], int(sys.argv[2])
tasks = [json.loads(l) for l in open(tmp + '/bench.jsonl')]
for i, t in enumerate(tasks):
    with open('%s/py/%d.py' % (tmp, i), 'w') as f:
        f.write(t['prompt'] + t['canonical_solution'] + '\n' + t['test'] + '\ncheck(%s)\n' % t['entry_point'])
with open(tmp + '/in.jsonl', 'w') as f:
    for n in range(samples):
        for t in tasks:
            f.write(json.dumps({'task_id': t['task_id'], 'sample': n, 'code': t['canonical_solution']}) + '\n')
PY
cat >"$tmp/pool.py" <<'PY'
import concurrent.futures, contextlib, glob, io, multiprocessing, os, signal, sys, tempfile

def run(path, result):
    with tempfile.TemporaryDirectory() as d, open(path) as f:
        os.chdir(d)
        signal.setitimer(signal.ITIMER_REAL, 10)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(f.read(), {})
            result.append('passed')
        except BaseException as e:
            result.append(repr(e))
        os.chdir('/')

def check(path):
    result = multiprocessing.Manager().list()
    p = multiprocessing.Process(target=run, args=(path, result))
    p.start()
    p.join()
    return list(result) == ['passed']

with concurrent.futures.ThreadPoolExecutor(2) as pool:
    sys.exit(not all(pool.map(check, sorted(glob.glob(sys.argv[1] + '/*.py')))))
PY
n=$(wc -l <"$tmp/in.jsonl")
rate() { # jobs command...: jobs a second; all must pass
    local begin=$EPOCHREALTIME jobs=$1
    shift
    "$@" >"$tmp/out"
    local end=$EPOCHREALTIME
    awk -v n="$jobs" -v a="$begin" -v b="$end" 'BEGIN {printf "%.1f\n", n / (b - a)}'
}
cold() { printf '%s\n' "$tmp"/py/*.py | xargs -P 2 -n 1 /usr/bin/python3; }
judged() {
    "$s" --bench humaneval --mode "$1" "$tmp/in.jsonl"
    [ "$(grep -c '"verdict":"pass"' "$tmp/out")" = "$n" ]
}
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
for _ in $(seq "$rounds"); do
    rate 164 cold >>"$tmp/cold"
    rate 164 /usr/bin/python3 "$tmp/pool.py" "$tmp/py" >>"$tmp/pool"
    rate "$n" judged split >>"$tmp/split"
    rate "$n" judged inproc >>"$tmp/inproc"
done
"$s" --bench humaneval "$tmp/in.jsonl" >"$tmp/out" &
pid=$!
tree() { for c in $(cat /proc/"$1"/task/*/children 2>/dev/null); do echo "$c"; done; }
rss=0
while kill -0 $pid 2>/dev/null; do
    k=$(for p in $pid $(tree $pid); do awk '/^Rss:/{print $2}' "/proc/$p/smaps_rollup" 2>/dev/null || true; done | awk '{k += $1} END {print k + 0}')
    [ "$k" -le $rss ] || rss=$k
    sleep 0.05
done
wait $pid
for what in cold pool split inproc; do
    median <"$tmp/$what" >"$tmp/$what.m"
    awk -v what=$what -v cold="$(cat "$tmp/cold.m")" '{printf "%s: %.0f problems/s, %.2f times cold python3\n", what, $1, $1 / cold}' "$tmp/$what.m"
done
echo "memory: $((rss / 1024)) MiB of apr-sandbox and its zygotes"
