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
