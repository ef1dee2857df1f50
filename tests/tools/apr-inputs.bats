#!/usr/bin/env bats
# apr-inputs - plain literals, all different, from the prompt alone
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-inputs"
    data="$BATS_TEST_DIRNAME/../../data/bench"
}

@test "every problem of every shipped benchmark: plain literals, all different, nearly always 32" {
    for b in basic:164 basic-mbpp:100 humaneval:164 mbpp:500; do
        "$x" --bench "${b%:*}" >in.jsonl
        python3 - in.jsonl "${b#*:}" <<'EOF'
import ast, json, sys
r = [json.loads(l) for l in open(sys.argv[1])]
assert len(r) == int(sys.argv[2])
none = [x['task_id'] for x in r if not x['inputs']]
assert len(none) <= 3 and all(x['from'] == 'none' for x in r if not x['inputs']), none
for x in r:
    assert x['schema'] == 'inputs/1' and x['entry_point'].isidentifier()
    values = [ast.literal_eval('(' + i + ',)') if i else () for i in x['inputs']]
    assert all(type(v) is tuple for v in values) and len(set(x['inputs'])) == len(values) <= 32
    assert len({len(v) for v in values}) < 4
assert sum(len(x['inputs']) for x in r) >= 31 * len(r)
EOF
    done
}

@test "most inputs are good ones: the reference solutions mostly return" {
    "$x" --bench humaneval -n 12 >in.jsonl
    gzip -dc "$data/HumanEval.jsonl.gz" >he.jsonl
    python3 - in.jsonl he.jsonl <<'EOF'
import ast, contextlib, io, json, signal, sys
def late(*_):
    raise TimeoutError
signal.signal(signal.SIGALRM, late)
task = {t['task_id']: t for t in map(json.loads, open(sys.argv[2]))}
n = bad = different = 0
for r in map(json.loads, open(sys.argv[1])):
    t = task[r['task_id']]
    space, out = {}, set()
    exec(t['prompt'] + t['canonical_solution'], space)
    for i in r['inputs']:
        n += 1
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                out.add(repr(space[r['entry_point']](*ast.literal_eval('(' + i + ',)'))))
        except Exception:
            bad += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
    different += len(out) >= 2
assert bad < 0.1 * n and different > 145, (n, bad, different)
EOF
}

@test "equal seeds, equal bytes; a problem's inputs do not depend on the others; tests are not looked at" {
    "$x" --bench humaneval --seed 3 >a
    cmp a <("$x" --bench humaneval --seed 3)
    cmp <(head -5 a) <("$x" --bench humaneval --seed 3 --limit 5)
    run ! cmp -s a <("$x" --bench humaneval --seed 4)
    run ! cmp -s a <("$x" --bench humaneval)
    gzip -dc "$data/HumanEval.jsonl.gz" | jq -c '.test = "def check(candidate):\n    pass\n" | .canonical_solution = "    pass\n"' >humaneval.jsonl
    cmp <("$x" --bench humaneval.jsonl --seed 3) a
    gzip -dc "$data/basic-mbpp.jsonl.gz" | jq -c '.code = "" | .challenge_test_list = [] | .test_setup_code = ""' >basic-mbpp.jsonl
    cmp <("$x" --bench basic-mbpp.jsonl) <("$x" --bench basic-mbpp)
}

@test "-n bounds them, -o has a sidecar" {
    "$x" --bench basic -n 5 -o out.jsonl
    [ "$(jq -c '.inputs | length' out.jsonl | sort -u)" = 5 ]
    [ "$(jq -r .sha256 out.jsonl.meta.json)" = "$(sha256sum <out.jsonl | cut -d' ' -f1)" ]
    printf '{"task_id":"x/1","prompt":"def f(flag: bool):\\n","entry_point":"f","test":"def check(c): pass"}\n' >mine.jsonl
    [ "$("$x" --bench mine.jsonl | jq -c '[.from, (.inputs | sort)]')" = '["types",["False","True"]]' ]
}

@test "prompts that are no Python give no inputs, hostile ones no crash" {
    q() { jq -cn --arg p "$1" '{task_id: "x", prompt: $p, entry_point: "f", test: "t"}' >h.jsonl; "$x" --bench h.jsonl | jq -c '[.from, (.inputs|length)]'; }
    [ "$(q 'int f(int x) { return 1; }')" = '["none",0]' ]
    [ "$(q '')" = '["none",0]' ]
    [ "$(q 'def f(')" = '["types",1]' ]
    [ "$(q "def f($(printf 'a,%.0s' {1..50}))")" = '["names",32]' ]
    [ "$(q "def f(a): f($(printf '[%.0s' {1..3000})")" = '["names",32]' ]
    [ "$(q "def f(a): f('$(head -c 100000 /dev/zero | tr '\0' a)')")" = '["names",32]' ]
    q "def f(a: $(printf 'List[%.0s' {1..3000})): pass"
    q "$(printf 'f(%.0s' {1..5000})"
}

@test "exit codes" {
    run -64 "$x"
    run -64 "$x" --bench basic operand
    run -64 "$x" --bench basic -n 0
    run -66 "$x" --bench nope
    printf '{"task_id":1' >cut.jsonl
    run -65 "$x" --bench cut.jsonl
    run -73 "$x" --bench basic -o no/such/dir/x
    run -74 bash -c "'$x' --bench basic >/dev/full"
}
