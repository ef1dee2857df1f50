#!/usr/bin/env bats
# apr-compare - is the difference real
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-compare"
    run_of 0 56 >a.jsonl  # 51 in both, 5 and 54 alone
    run_of 5 110 >b.jsonl
}

# run_of FROM TO: 164 tasks of basic, those from FROM up to TO pass
run_of() {
    jq -cn --argjson a "$1" --argjson b "$2" 'range(164) | (. >= $a and . < $b) as $p | {schema: "verdict/1",
        task_id: "Basic/\(.)", sample: 0, bench: "basic", passed: $p, verdict: (if $p then "pass" else "exception" end)}'
}

@test "difference, discordant tasks, McNemar" {
    run --separate-stderr -0 "$x" a.jsonl b.jsonl
    [ "${lines[0]}" = "basic: 56 -> 105 of 164 tasks (a.jsonl -> b.jsonl)" ]
    [[ "${lines[1]}" == *"+29.9 points, 95 % interval [22.0, 37.8]" ]]
    [[ "${lines[2]}" == *"5 better in the first, 54 in the second" ]]
    [[ "${lines[3]}" == *"p = 1.9e-11 (exact, two-sided), mid-p = 1e-11" ]]
    [[ "${lines[4]}" == *"13.0 points at 80 % power" ]]
    [ "$("$x" - b.jsonl <a.jsonl | tail -n +2)" = "$(tail -n +2 <<<"$output")" ]
    [ "${lines[5]}" = "  first only   Basic/0, Basic/1, Basic/2, Basic/3, Basic/4" ]
    [[ "${lines[6]}" == "  second only  Basic/56, Basic/57, "* ]]
    [ "$(sed -n '/second only/,$p' <<<"$output" | grep -o Basic | wc -l)" = 54 ]
}

@test "check values of McNemar's test" {
    for c in "5 1 0.219" "12 6 0.238" "9 3 0.146" "17 6 0.035" "31 24 0.419"; do
        read -r b c p <<<"$c"
        run_of 0 "$b" >x.jsonl
        run_of "$b" $((b + c)) >y.jsonl
        [ "$("$x" x.jsonl y.jsonl --json | jq '.mcnemar_p * 1000 | round / 1000')" = "$p" ]
    done
}

@test "--json writes compare/1 with the tasks by name" {
    run -0 "$x" a.jsonl b.jsonl --json
    [ "$(jq -c '[.schema, .a, .pass_a, .pass_b, .only_a, .only_b, .n_task, .tasks_only_a]' <<<"$output")" = \
        '["compare/1","a.jsonl",56,105,5,54,164,["Basic/0","Basic/1","Basic/2","Basic/3","Basic/4"]]' ]
    [ "$("$x" a.jsonl b.jsonl --json)" = "$output" ]
    [ "$("$x" a.jsonl a.jsonl --json | jq -c '[.difference, .mcnemar_p, .detectable * 1000 | round]')" = '[0,1,48]' ]
}

@test "few discordant tasks: what would show is more than what is there" {
    run_of 0 5 >x.jsonl
    run_of 0 0 >y.jsonl
    run -0 "$x" x.jsonl y.jsonl
    [[ "${lines[1]}" == "  difference   -3.0 points"* ]]
    [[ "${lines[4]}" == "  detectable   4.8 points at 80 % power" ]] # 5 against 0 alone are found in 38 % of trials
    run -0 "$x" x.jsonl x.jsonl
    [[ "${lines[4]}" == "  detectable   4.8 points at 80 % power" ]]
}

@test "several samples a task: a permutation test" {
    for s in 0 1; do jq -c ".sample = $s" a.jsonl; done >a2.jsonl
    for s in 0 1; do jq -c ".sample = $s" b.jsonl; done >b2.jsonl
    run -0 "$x" a2.jsonl b2.jsonl --json
    [ "$(jq -c '[.mcnemar_p, .permutation_p < 0.001, .pass_b]' <<<"$output")" = '[null,true,210]' ]
}

@test "several samples a task: all sign patterns if they are few, the difference to be found" {
    for s in 0 1 2 3; do
        jq -cn --argjson s $s 'range(12) | {schema: "verdict/1", task_id: "T/\(.)", sample: $s, bench: "b",
            passed: (. > 5 or $s > 1), verdict: (if . > 5 or $s > 1 then "pass" else "exception" end)}'
    done >s.jsonl
    jq -c '.passed = true | .verdict = "pass"' s.jsonl >t.jsonl
    run -0 "$x" s.jsonl t.jsonl
    [[ "${lines[0]}" == "b: 75.00 % -> 100.00 % of 12 tasks"* ]]
    [[ "${lines[3]}" == "  permutation  p = 0.031 (sign flips, two-sided)" ]] # 2 of 2^6
    [[ "${lines[4]}" == "  detectable   21.1 points at 80 % power" ]] # 2.8016 * 0.2611 / sqrt(12)
    [[ "${lines[5]}" == "  second only  T/0 (0.50 -> 1.00), T/1 (0.50 -> 1.00), "* ]]
    [ "$("$x" s.jsonl t.jsonl --json | jq '.permutation_p == 2 / 64')" = true ]
}

@test "more than two files: each with the first, or all pairs; Holm" {
    run_of 3 60 >c.jsonl
    run -0 "$x" a.jsonl b.jsonl c.jsonl --json
    [ "$(jq -c '[.a, .b, .n_comparison]' <<<"$output" | paste -sd' ')" = \
        '["a.jsonl","b.jsonl",2] ["a.jsonl","c.jsonl",2]' ]
    [ "$(jq -s '.[0].holm_p == 2 * .[0].mcnemar_p and .[1].holm_p == .[1].mcnemar_p' <<<"$output")" = true ]
    run -0 "$x" a.jsonl b.jsonl c.jsonl --all-pairs --json
    [ "$(jq -c '[.a, .b]' <<<"$output" | paste -sd' ')" = \
        '["a.jsonl","b.jsonl"] ["a.jsonl","c.jsonl"] ["b.jsonl","c.jsonl"]' ]
    [ "$(jq -s '[.[].holm_p] | max == (.[1])' <<<"$output")" = true ]
    run -0 "$x" a.jsonl b.jsonl c.jsonl
    [[ "$output" == *"  Holm         p = "*" as one of 2 comparisons"* ]]
    run -0 "$x" a.jsonl b.jsonl
    [[ "$output" != *Holm* ]]
    [ "$("$x" a.jsonl b.jsonl --json | jq '.holm_p == .mcnemar_p and .n_comparison == 1')" = true ]
}

@test "files of other evaluators; --bench" {
    d="$TOP/tests/vectors/results"
    run --separate-stderr -0 "$x" "$d/leaderboard-standard.json" "$d/leaderboard-few-shot.json"
    [[ "${lines[0]}" == "humaneval: 50.00 % -> 41.67 % of 4 tasks"* ]]
    [[ "$output" == *"first only   HumanEval/1 (0.67 -> 0.00)"* ]]
    run --separate-stderr -65 "$x" "$d/leaderboard-standard.json" "$d/evalplus_eval_results.json"
    [[ "$stderr" == *"has 1 benchmarks"*"has 2"* ]]
    run --separate-stderr -0 "$x" "$d/leaderboard-standard.json" "$d/evalplus_eval_results.json" --bench humaneval --partial
    [[ "$stderr" == *"1 task in one file only"* ]]
    sed '3s,Basic/2,Basic/777,' b.jsonl >u.jsonl
    run --separate-stderr -65 "$x" a.jsonl u.jsonl --bench basic
    [[ "$stderr" == *"u.jsonl:3: benchmark basic has no task Basic/777"* ]]
}

@test "other tasks are an error, harness errors a warning" {
    head -n 100 a.jsonl >few.jsonl
    run --separate-stderr -65 "$x" few.jsonl b.jsonl -o out
    [[ "$stderr" == *"64 tasks in one file only"* ]]
    [ ! -e out ]
    run --separate-stderr -0 "$x" few.jsonl b.jsonl --partial --json
    [ "$(jq .n_task <<<"$output")" = 100 ]
    sed '$s/"exception"/"harness_error"/' b.jsonl >h.jsonl
    run --separate-stderr -0 "$x" a.jsonl h.jsonl --json
    [ "$(jq -c '[.n_task, .left_out]' <<<"$output")" = '[163,1]' ]
    [[ "$stderr" == *"1 task left out"* ]]
    sed 's/"basic"/"other"/' b.jsonl >o.jsonl
    run --separate-stderr -65 "$x" a.jsonl o.jsonl
    jq -c '.passed = false | .verdict = "harness_error"' a.jsonl >honly.jsonl
    run --separate-stderr -65 "$x" a.jsonl honly.jsonl
    [[ "$stderr" == *"a.jsonl, honly.jsonl: basic: no task left: 164 in both files, with nothing but harness errors in one" ]]
}

@test "exit codes" {
    run --separate-stderr -64 "$x" a.jsonl
    run --separate-stderr -66 "$x" a.jsonl nope.jsonl
    head -c 1000 a.jsonl >cut.jsonl
    run --separate-stderr -65 "$x" a.jsonl cut.jsonl
    [[ "$stderr" == *"cut.jsonl:"* ]]
    run --separate-stderr -73 "$x" a.jsonl b.jsonl -o no/such/dir/x
    run bash -c "'$x' a.jsonl b.jsonl >/dev/full"
    [ "$status" = 74 ]
    "$x" a.jsonl b.jsonl --json -o c.jsonl
    [ "$(jq -r '.inputs[1].path' c.jsonl.meta.json)" = b.jsonl ]
}
