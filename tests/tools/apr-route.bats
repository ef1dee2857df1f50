#!/usr/bin/env bats
# apr-route - the choice is made on one part of the tasks and scored on the other
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-route"
}

# NAME SHARE [BENCH [N]] : verdicts on 200 tasks, of which about SHARE percent pass
verdicts() {
    python3 - "$@" >"$1.jsonl" <<'EOF'
import hashlib, json, sys
name, share, bench, n = sys.argv[1], int(sys.argv[2]), (sys.argv[3:4] or ['b'])[0], int((sys.argv[4:5] or [1])[0])
for i in range(200):
    for s in range(n):
        ok = hashlib.sha256(f'{name} {i} {s}'.encode()).digest()[0] * 100 // 256 < share
        print(json.dumps({'schema': 'verdict/1', 'task_id': f't/{i}', 'sample': s, 'bench': bench, 'passed': ok,
                          'verdict': 'pass' if ok else 'wrong_answer', 'detail': name}))
EOF
}

@test "the best of the validation part, scored on the test part alone" {
    verdicts good 80
    verdicts fair 50
    verdicts bad 20
    run --separate-stderr -0 "$x" fair.jsonl good.jsonl bad.jsonl --name fair --name good --name bad --route r.jsonl -o v.jsonl
    [ -z "$stderr" ]
    [ "$(jq -r .chosen r.jsonl)" = good ]
    jq -e '.schema == "route/1" and .bench == "b" and .n_validation + .n_test == 200 and .n_validation > 40 and .n_validation < 80
        and .left_out == 0 and (.within_noise | not) and (.strategies | map(.name)) == ["fair","good","bad"]' r.jsonl
    [ "$(wc -l <v.jsonl)" = "$(jq .n_test r.jsonl)" ]
    # its own records, marked; and the scores are those of the tasks that are not in the output
    [ "$(jq -r .detail v.jsonl | sort -u)" = good ]
    n=$(jq .n_validation r.jsonl)
    [ "$(jq -c '.rank | del(.reason)' v.jsonl | sort -u)" = \
        '{"label":"good of 3 strategies, chosen on '$n' other tasks","by":"route","chosen":"good","of":3}' ]
    [[ "$(jq -r .rank.reason v.jsonl | sort -u)" =~ ^0\.[0-9]{4}" on the validation tasks"$ ]]
    for i in 0 1 2; do
        f=($(jq -r '.strategies[].name' r.jsonl))
        want=$(jq -s --slurpfile v v.jsonl '(($v | map(.task_id)) as $t | map(select(.task_id as $i | $t | index($i) | not)) | map(select(.passed)) | length)' "${f[i]}.jsonl")
        [ "$(jq ".strategies[$i].passed" r.jsonl)" = "$want" ]
        jq -e ".strategies[$i] | .value * $n - .passed | fabs < 1e-9" r.jsonl
        jq -e ".strategies[$i] | .ci[0] < .value and .value < .ci[1]" r.jsonl
    done
    for f in v r; do [ "$(jq -r .sha256 $f.jsonl.meta.json)" = "$(sha256sum <$f.jsonl | cut -d' ' -f1)" ]; done
    "$APR_BIN/passk" v.jsonl
}

@test "p is McNemar's, exact and two-sided, adjusted by Holm" {
    verdicts a 50
    verdicts b 60
    verdicts c 70
    "$x" -q a.jsonl b.jsonl c.jsonl --validation 0.6 --route r.jsonl -o v.jsonl
    python3 - <<'EOF'
import json, math
r = json.load(open('r.jsonl'))
test = {json.loads(l)['task_id'] for l in open('v.jsonl')}
ok = {s: {v['task_id']: v['passed'] for v in map(json.loads, open(s)) if v['task_id'] not in test} for s in ('a.jsonl', 'b.jsonl', 'c.jsonl')}
best, p = ok[r['chosen']], {}
for s in ok:
    if s != r['chosen']:
        x, y = (sum(ok[s][t] == a != best[t] for t in best) for a in (True, False))
        p[s] = min(1, 2 * sum(math.comb(x + y, k) for k in range(min(x, y) + 1)) / 2 ** (x + y))
order = sorted(p, key=p.get)
p[order[0]] = min(1, 2 * p[order[0]])
p[order[1]] = max(p[order[0]], p[order[1]])
for s in r['strategies']:
    assert abs(s['p'] - p.get(s['name'], 1)) < 1e-9, (s, p)
assert r['within_noise'] == any(v > 0.05 for v in p.values())
EOF
}

@test "the split depends on seed and task_id alone" {
    verdicts a 60
    verdicts b 30
    "$x" a.jsonl b.jsonl >one
    "$x" a.jsonl b.jsonl >two
    cmp one two
    shuf --random-source=<(yes) a.jsonl >a2.jsonl
    cmp <(sort one | sed 's/a2*.jsonl/a/g') <("$x" a2.jsonl b.jsonl | sort | sed 's/a2*.jsonl/a/g')
    run ! cmp -s <(jq -r .task_id one) <("$x" a.jsonl b.jsonl --seed 1 | jq -r .task_id)
    [ "$("$x" a.jsonl b.jsonl --validation 0.8 | wc -l)" -lt 70 ]
}

@test "a choice within noise says so; a tie goes to the first named" {
    verdicts a 50
    verdicts b 52
    run --separate-stderr -0 "$x" a.jsonl b.jsonl --route r.jsonl -o v.jsonl
    [[ "$stderr" == "apr-route: b: "*" but within noise: 1 of the 1 others may be as good" ]]
    [ "$(jq .within_noise r.jsonl)" = true ]
    run --separate-stderr -0 "$x" -q a.jsonl b.jsonl -o v.jsonl
    [ -z "$stderr" ]
    cp a.jsonl a3.jsonl
    "$x" -q a3.jsonl a.jsonl --route r.jsonl >v.jsonl
    [ "$(jq -c '[.chosen,.strategies[0].p,.strategies[1].p]' r.jsonl)" = '["a3.jsonl",1,1]' ]
}

@test "several samples a task; several benchmarks, together or each alone" {
    verdicts a 70 b 5
    verdicts c 30 b 5
    "$x" a.jsonl c.jsonl --route r.jsonl >v.jsonl
    jq -e '.chosen == "a.jsonl" and .strategies[1].p < 0.01 and (.strategies[0].ci[1] - .strategies[0].ci[0] | . > 0.02 and . < 0.3)' r.jsonl
    [ "$(wc -l <v.jsonl)" = $((5 * $(jq .n_test r.jsonl))) ]
    # the interval is the one that passk gives for the same tasks
    for s in 0 1; do
        f=$(jq -r ".strategies[$s].name" r.jsonl)
        jq -c --slurpfile v v.jsonl '($v | map(.task_id)) as $t | select(.task_id as $i | $t | index($i) | not)' "$f" >val.jsonl
        [ "$("$APR_BIN/passk" val.jsonl --json | jq -c '.clustered | map(. * 1e9 | round)')" = \
            "$(jq -c ".strategies[$s].ci | map(. * 1e9 | round)" r.jsonl)" ]
    done
    # all right everywhere: not a point
    jq -c '.passed = true | .verdict = "pass"' a.jsonl >p1.jsonl && cp p1.jsonl p2.jsonl
    "$x" -q p1.jsonl p2.jsonl --route r.jsonl >/dev/null
    jq -e '.strategies[0].ci | .[0] < 0.97 and .[1] == 1' r.jsonl
    verdicts p 80 one
    verdicts q 10 one
    mv p.jsonl p1 && mv q.jsonl q1
    verdicts p 20 two
    verdicts q 60 two
    cat p1 p.jsonl >pp && cat q1 q.jsonl >qq
    "$x" -q pp qq --route r.jsonl >v.jsonl
    [ "$(jq -c '[.bench,.chosen]' r.jsonl)" = '[null,"pp"]' ]
    "$x" -q pp qq --per-bench --route r.jsonl >v.jsonl
    [ "$(jq -c '[.bench,.chosen]' r.jsonl | tr -d '\n')" = '["one","pp"]["two","qq"]' ]
    [ "$(jq -r '[.bench,.detail]|join(" ")' v.jsonl | uniq)" = $'one p\ntwo q' ]
}

@test "harness errors are nobody's failure" {
    verdicts a 50
    verdicts b 90
    v() { jq -c 'if .passed then . else .verdict = "harness_error" end' "$1"; }
    "$x" -q a.jsonl <(v b.jsonl) --name a --name b --route r.jsonl >v.jsonl
    jq -e '.left_out > 0 and .strategies[1].value == 1 and .chosen == "b"' r.jsonl
}

@test "a record that was chosen before keeps its first label" {
    verdicts a 60
    verdicts b 20
    jq -c '.rank = {label: "best of 4 by logprob"}' a.jsonl >a1.jsonl
    "$x" -q a1.jsonl b.jsonl --name a --name b >v.jsonl
    [[ "$(jq -r .rank.label v.jsonl | sort -u)" == "best of 4 by logprob, then a of 2 strategies, chosen on "*" other tasks" ]]
}

@test "64, 65, 66, 73, 74" {
    verdicts a 60
    verdicts b 20
    run -64 "$x" a.jsonl
    run -64 "$x" a.jsonl a.jsonl
    run -64 "$x" a.jsonl b.jsonl --name a
    run -64 "$x" a.jsonl b.jsonl --name a --name a
    run -64 "$x" a.jsonl b.jsonl --validation 1
    run -64 "$x" a.jsonl b.jsonl --route -
    run -64 "$x" a.jsonl b.jsonl -o new --route ./new # one file by two names, before it is there
    run -64 "$x" a.jsonl b.jsonl -o "$PWD/new" --route new
    [ ! -e new ]
    bad() { run --separate-stderr -65 "$x" "$1" "$2" -o out; [[ "$stderr" == "apr-route: "$3 && ! -e out ]] || { echo "$stderr"; return 1; }; }
    head -190 b.jsonl >fewer
    bad a.jsonl fewer "fewer:*: not the tasks of a.jsonl: look at t/*"
    bad fewer a.jsonl "a.jsonl:*: not the tasks of fewer: look at t/*"
    tail -199 b.jsonl >less
    bad a.jsonl less "less:1: not the tasks of a.jsonl: look at t/1"
    grep -v '"t/99"' b.jsonl >most
    bad a.jsonl most "most: not the tasks of a.jsonl: t/99 is missing"
    sed '7s/"passed": [a-z]*/"passed": 1/' b.jsonl >number
    bad a.jsonl number 'number:7: "passed": expected true or false'
    sed '7s/"passed": [a-z]*, "verdict": "[a-z_]*"/"passed": true, "verdict": "harness_error"/' b.jsonl >ours
    bad a.jsonl ours 'ours:7: passed is true but the verdict is harness_error'
    sed '7s/"passed": [a-z]*, "verdict": "[a-z_]*"/"passed": true, "verdict": "wrong_answer"/' b.jsonl >lie
    bad a.jsonl lie 'lie:7: passed is true but the verdict is wrong_answer'
    sed '7s/"verdict": "[a-z_]*"/"verdict": "good"/' b.jsonl >unknown
    bad a.jsonl unknown 'unknown:7: "verdict": expected one of schema(7), found good'
    sed 's/"bench": "b"/"bench": "b\\u001b[2J"/' a.jsonl >escape
    cp escape escape2
    bad escape escape2 'escape:*: bench: control character 27'
    bad a.jsonl <(cat b.jsonl b.jsonl) "*:201: t/0, sample 0 is on line 1 too"
    bad a.jsonl <(sed '3s/.*/{/' b.jsonl) "*:3: not JSON: *"
    bad <(true) <(true) "*: no records"
    bad <(head -1 a.jsonl) <(head -1 b.jsonl) "b: * tasks to choose on, * to score: expected some of both"
    run -66 "$x" a.jsonl none
    run -73 "$x" a.jsonl b.jsonl -o no/such/file
    run -73 "$x" a.jsonl b.jsonl -o out --route no/such/file
    [ ! -e out ]
    run -74 bash -c "'$x' -q a.jsonl b.jsonl >/dev/full"
}
