#!/usr/bin/env bats
# best-of-n - the whole way on the built-in model: samples, choice, second round, route; scores are told apart
bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    export PATH="$APR_BIN:$PATH" work="$BATS_FILE_TMPDIR"
    gguf2apr "$BATS_TEST_DIRNAME/../../data/models/tiny-coder-29m-Q8_0.gguf" -o m.apr
    apr-prompt --bench basic --limit 6 --max-tokens 100 --samples 4 |
        apr-gen -m m.apr --temperature 0.8 --logprobs --seed 1 -o samples.jsonl
    apr-extract --bench basic samples.jsonl -o code.jsonl
}

setup() {
    cd "$work"
}

@test "samples | extract | rank --by logprob | sandbox | passk" {
    apr-rank code.jsonl --by logprob --samples samples.jsonl -o best.jsonl
    [ "$(jq -c '[.task_id,.sample,.rank.of]' best.jsonl | tr -d '\n')" = \
        '["Basic/0",0,4]["Basic/1",0,4]["Basic/2",0,4]["Basic/3",0,4]["Basic/4",0,4]["Basic/5",0,4]' ]
    # the choice is the likeliest that has code, worked out by jq
    jq -s --slurpfile c code.jsonl 'map(. as $s | $s + {code: ($c[] | select(.task_id == $s.task_id and .sample == $s.sample) | .code)})
        | group_by(.task_id)[] | map(select(.code | test("\\S"))) | max_by([.logprob_sum / .tokens_generated, -.sample]) | .sample' samples.jsonl >want
    cmp want <(jq .rank.chosen best.jsonl)
    apr-sandbox --bench basic best.jsonl -o v.jsonl
    [ "$(jq -c '[.task_id,.sample]' v.jsonl)" = "$(jq -c '[.task_id,.sample]' best.jsonl)" ]
    run --separate-stderr -0 passk v.jsonl --json # that 158 tasks are missing is a warning
    jq -e '.metric == "pass@1, best of 4 by logprob" and .n_task == 6 and .n_sample == 6' <<<"$output"
}

@test "the same in one pipe, and it stays the same whatever the batch" {
    one() { apr-prompt --bench basic --limit 3 --max-tokens 60 --samples 4 |
        apr-gen -m m.apr --temperature 0.8 --logprobs --seed 1 --batch "$1" | tee "s$1" | apr-extract | apr-rank --by shortest; }
    one 1 >a
    one 8 >b
    cmp s1 s8
    cmp a b
    apr-sandbox --bench basic a | passk
}

@test "rank --by majority: behaviour on inputs made from the prompts" {
    apr-inputs --bench basic --limit 6 -n 8 -o inputs.jsonl
    apr-sandbox --bench basic --inputs inputs.jsonl code.jsonl -t 1 -o behaviour.jsonl
    [ "$(jq -c '[.task_id, .sample]' behaviour.jsonl)" = "$(jq -c '[.task_id, .sample]' code.jsonl)" ]
    apr-rank code.jsonl --behaviour behaviour.jsonl --samples samples.jsonl -o major.jsonl
    [ "$(wc -l <major.jsonl)" = 6 ]
    jq -se --slurpfile b behaviour.jsonl 'map(. as $r | ($b | map(select(.task_id == $r.task_id))) as $all
        | ($all | map(select(.sample == $r.rank.chosen))[0].outputs) as $mine
        | {size: ($all | map(select(.outputs == $mine)) | length), most: ($all | group_by(.outputs)
            | map(select(.[0].outputs | any(startswith("!") | not))) | map(length) | max)})
        | all(.most == null or .size == .most)' major.jsonl
    [[ "$(apr-sandbox --bench basic major.jsonl | passk)" == *"best of 4 by majority"* ]]
}

@test "a second round, put together with the first" {
    jq -c 'select(.sample == 0)' code.jsonl >one.jsonl
    apr-sandbox --bench basic one.jsonl -o v1.jsonl
    apr-prompt --bench basic --strategy reflexion --samples-from one.jsonl --verdicts v1.jsonl --max-tokens 80 -o p2.jsonl
    failed=$(jq 'select(.passed | not).task_id' v1.jsonl | wc -l)
    [ "$failed" -gt 0 ] && [ "$(wc -l <p2.jsonl)" = "$failed" ]
    apr-gen -m m.apr p2.jsonl | apr-extract --bench basic -o two.jsonl
    apr-rank --by round one.jsonl two.jsonl -o both.jsonl
    [ "$(wc -l <both.jsonl)" = 6 ]
    [ "$(jq -c 'select(.rank.chosen == 2).task_id' both.jsonl | sort)" = "$(jq -c .task_id two.jsonl | sort)" ]
    apr-sandbox --bench basic both.jsonl -o v2.jsonl
    # an answer that passed the first time is the same one
    cmp <(jq -r 'select(.passed).task_id' v1.jsonl) \
        <(jq -r 'select(.passed).task_id' v2.jsonl | grep -Fxf <(jq -r 'select(.passed).task_id' v1.jsonl))
}

@test "every strategy goes through the model: prefill and raw text are whole answers" {
    for s in standard few-shot-trivial scot cgo system prefill completion few-shot; do
        apr-prompt --bench basic --limit 2 --strategy $s --max-tokens 40 | apr-gen -m m.apr >s
        [ "$(wc -l <s)" = 2 ]
        apr-extract --bench basic s | apr-sandbox --bench basic >v
        [ "$(wc -l <v)" = 2 ]
        case $s in
        prefill) jq -se 'all(.text | startswith("```python\n"))' s ;;
        completion) jq -se 'all(.text | test("\n(class|def|#|if|print)") | not)' s ;;
        esac
    done
}
