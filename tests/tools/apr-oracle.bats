#!/usr/bin/env bats
# apr-oracle - what any of several runs solves, and how they fail
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-oracle"
    run_of "p p w p w x" >a.jsonl # always, only a, only c, two of three, never, never
    run_of "p w w p x x" >b.jsonl
    run_of "p w f x x w" >c.jsonl
}

# run_of "p w ..": tasks T/0 ..; p passes, f passes and is flaky, w is a wrong answer, x an exception, h ours
run_of() {
    jq -cn --arg t "$1" '$t | split(" ") | to_entries[] | {schema: "verdict/1", task_id: "T/\(.key)", sample: 0, bench: "b",
        passed: (.value == "p" or .value == "f"), flaky: (.value == "f"),
        verdict: {p: "pass", f: "pass", w: "wrong_answer", x: "exception", h: "harness_error"}[.value]}'
}

@test "union, classes, unique wins, flaky tasks, agreement" {
    run --separate-stderr -0 "$x" a.jsonl b.jsonl c.jsonl
    [ "${lines[0]}" = "b: 4 of 6 tasks solved in at least one of 3 runs" ]
    [ "${lines[1]}" = "  pass@3       66.67 % (any attempt counts), 95 % interval [30.0, 90.3]" ]
    [ "${lines[2]}" = "  tasks        1 always, 3 sometimes, 2 never" ]
    [ "${lines[3]}" = "  unique wins  a.jsonl: 1" ]
    [ "${lines[4]}" = "               T/1" ]
    [[ "$output" == *"  never        T/4, T/5"*"  sometimes    T/1 1/3, T/2 1/3, T/3 2/3"*"  flaky        T/2"* ]]
    [[ "$output" == *"  agreement    83.3 % of tasks, kappa 0.67: a.jsonl, b.jsonl"* ]]
    [[ "$output" != *"pass@1"* ]]
    [ "$("$x" - b.jsonl c.jsonl <a.jsonl | sed -n 2p)" = "${lines[1]}" ]
}

@test "--json writes oracle/1, the same bytes each time, without a pass@1" {
    run -0 "$x" a.jsonl b.jsonl c.jsonl --json
    [ "$(jq -c '[.schema, .metric, .n_run, .n_task, .solved, .always, .sometimes, .never]' <<<"$output")" = \
        '["oracle/1","pass@3",3,6,4,1,3,2]' ]
    [ "$(jq -c '[.runs[] | [.run, .unique, .unique_tasks]]' <<<"$output")" = \
        '[["a.jsonl",1,["T/1"]],["b.jsonl",0,[]],["c.jsonl",1,["T/2"]]]' ]
    [ "$(jq -c '[.never_tasks, .flaky, (.sometimes_tasks | length), has("failures")]' <<<"$output")" = \
        '[["T/4","T/5"],["T/2"],3,false]' ]
    [[ "$output" != *"pass@1"* ]]
    [ "$("$x" a.jsonl b.jsonl c.jsonl --json)" = "$output" ]
}

@test "--failures groups tasks by their most frequent failure" {
    run -0 "$x" a.jsonl b.jsonl c.jsonl --failures
    [[ "$output" == *"failures of b by their most frequent verdict"* ]]
    [ "$(sed -n '/^  exception/,$p' <<<"$output" | head -4 | tr -s ' ' | paste -sd'|')" = \
        " exception 3 tasks| T/3 pass 2, exception 1| T/4 exception 2, wrong_answer 1| T/5 exception 2, wrong_answer 1" ]
    [[ "$output" == *"  wrong_answer          2 tasks"* ]]
    [ "$("$x" a.jsonl b.jsonl c.jsonl --failures --json | jq -c '[.failures[] | [.verdict, .n_task, .tasks[0].verdicts]]')" = \
        '[["exception",3,{"pass":2,"exception":1}],["wrong_answer",2,{"wrong_answer":2,"pass":1}]]' ]
}

@test "several samples a run: two passes are solved, and the label counts attempts" {
    d="$TOP/tests/vectors/results"
    run --separate-stderr -0 "$x" "$d/leaderboard-standard.json" "$d/leaderboard-few-shot.json" --json
    # passes of 3: 3 2 0 1 and 3 0 0 2; who tests "passed == 1" finds one task solved
    [ "$(jq -c '[.metric, .solved, .always, .never_tasks, .runs[0].unique_tasks]' <<<"$output")" = \
        '["pass@6",3,1,["HumanEval/2"],["HumanEval/1"]]' ]
    run --separate-stderr -0 "$x" "$d/evalplus_eval_results.json" "$d/evalplus_eval_results.json" --json
    [ "$(jq -r '"\(.bench) \(.metric)"' <<<"$output" | paste -sd' ')" = "humaneval pass@4 humanevalplus pass@4" ]
}

@test "other tasks are an error, harness errors a warning" {
    run_of "p h w p w" >few.jsonl
    run --separate-stderr -65 "$x" a.jsonl few.jsonl -o out
    [[ "$stderr" == *"b: 1 task not in every run, such as T/5"* ]]
    [ ! -e out ]
    run --separate-stderr -0 "$x" a.jsonl few.jsonl --partial --json
    [ "$(jq -c '[.n_task, .left_out]' <<<"$output")" = '[4,2]' ]
    [[ "$stderr" == *"1 task left out: harness errors"*"1 task not in every file"* ]]
    sed 's/"b"/"other"/' b.jsonl >o.jsonl
    run --separate-stderr -65 "$x" a.jsonl o.jsonl
    [[ "$stderr" == *"o.jsonl: no verdicts of benchmark b, which a.jsonl has"* ]]
    run --separate-stderr -65 "$x" a.jsonl b.jsonl --bench basic
    [[ "$stderr" == *"a.jsonl:1: expected verdicts of benchmark basic, found b"* ]]
}

@test "nothing but harness errors is the reason that is given" {
    run_of "h h h h h h" >h.jsonl
    run --separate-stderr -65 "$x" a.jsonl h.jsonl
    [ "$stderr" = "apr-oracle: b: no task left: 6 in every run, with nothing but harness errors in one" ]
}

@test "a run of chosen answers says so, and the metric with it" {
    jq -c '.rank = {label: "best of 8 by majority"}' a.jsonl >m.jsonl
    run --separate-stderr -0 "$x" m.jsonl b.jsonl
    [[ "${lines[1]}" == "  pass@2, chosen answers in 1 of 2 runs 50.00 % (any attempt counts)"* ]]
    [ "${lines[2]}" = "  answers      m.jsonl: best of 8 by majority" ]
    [ "${lines[3]}" = "               b.jsonl: single" ]
    [ "$("$x" m.jsonl b.jsonl --json | jq -c '[.metric, [.runs[].choice]]')" = \
        '["pass@2, chosen answers in 1 of 2 runs",["best of 8 by majority",null]]' ]
    cp m.jsonl n.jsonl
    [ "$("$x" m.jsonl n.jsonl --json | jq -r .metric)" = "pass@2, best of 8 by majority" ]
}

@test "exit codes" {
    run --separate-stderr -64 "$x" a.jsonl
    run --separate-stderr -66 "$x" a.jsonl nope.jsonl
    head -c 300 a.jsonl >cut.jsonl
    run --separate-stderr -65 "$x" a.jsonl cut.jsonl
    [[ "$stderr" == *"cut.jsonl:"* ]]
    run --separate-stderr -73 "$x" a.jsonl b.jsonl -o no/such/dir/x
    run bash -c "'$x' a.jsonl b.jsonl >/dev/full"
    [ "$status" = 74 ]
    "$x" a.jsonl b.jsonl --json -o o.jsonl
    [ "$(jq -r '.inputs[1].path' o.jsonl.meta.json)" = b.jsonl ]
}
