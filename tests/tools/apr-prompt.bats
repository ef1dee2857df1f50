#!/usr/bin/env bats
# apr-prompt - benchmarks as prompts
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    p="$APR_BIN/apr-prompt"
}

@test "every shipped benchmark gives a prompt for each of its problems" {
    for b in basic:164 basic-mbpp:100 humaneval:164 mbpp:500; do
        run --separate-stderr -0 "$p" --bench "${b%:*}"
        [ "${#lines[@]}" = "${b#*:}" ]
        [ "$(jq -s 'map(select(.schema != "prompt/1" or .prompt == "" or .sample != 0)) | length' <<<"$output")" = 0 ]
    done
}

@test "the standard wording, byte for byte" {
    "$p" --bench humaneval --limit 1 | jq -j .prompt >got
    { printf 'Complete the following Python function. Return the whole function.\n\n'
      gzip -dc "$BATS_TEST_DIRNAME/../../data/bench/HumanEval.jsonl.gz" | head -1 | jq '.prompt | sub("\\s+$"; "")' -j; } >want
    cmp got want
    "$p" --bench basic-mbpp --limit 1 | jq -j .prompt >got
    gzip -dc "$BATS_TEST_DIRNAME/../../data/bench/basic-mbpp.jsonl.gz" | head -1 |
        jq -j '.text + "\nYour code should pass these tests:\n\n" + (.test_list | join("\n"))' >want
    cmp got want
    [ "$("$p" --bench humaneval --limit 1 | jq .max_tokens)" = 400 ]
    [ "$("$p" --bench mbpp --limit 1 | jq .max_tokens)" = 320 ]
}

@test "--samples numbers them, --max-tokens bounds them, -o has a sidecar" {
    "$p" --bench basic --limit 2 --samples 3 --max-tokens 9 -o out.jsonl
    [ "$(jq -c '[.task_id, .sample, .max_tokens]' out.jsonl | tr -d '\n')" = \
      '["Basic/0",0,9]["Basic/0",1,9]["Basic/0",2,9]["Basic/1",0,9]["Basic/1",1,9]["Basic/1",2,9]' ]
    [ "$(jq -r .sha256 out.jsonl.meta.json)" = "$(sha256sum <out.jsonl | cut -d' ' -f1)" ]
}

@test "a data file of one's own" {
    printf '{"task_id":"x/1","prompt":"def f():\\n","entry_point":"f","test":"def check(c): pass"}\n' >mine.jsonl
    [ "$("$p" --bench mine.jsonl | jq -r .bench)" = mine ]
    printf '{"task_id":7,"text":"do","test_list":["assert g()"]}\n' | gzip >m.jsonl.gz
    [ "$("$p" --bench m.jsonl.gz | jq -r .prompt | tail -1)" = "assert g()" ]
}

@test "exit codes" {
    run --separate-stderr -64 "$p"
    run --separate-stderr -64 "$p" --bench basic operand
    run --separate-stderr -66 "$p" --bench nope
    run --separate-stderr -66 "$p" --bench basic --strategy nope
    run --separate-stderr -66 "$p" --bench nope.jsonl
    printf '{"task_id":1' >cut.jsonl
    run --separate-stderr -65 "$p" --bench cut.jsonl
    [[ "$stderr" == *cut.jsonl:1* ]]
    printf 'name: x\ndata: basic\nformat: other\n' >bad.yaml
    run --separate-stderr -78 "$p" --bench bad.yaml
    run --separate-stderr -73 "$p" --bench basic -o no/such/dir/x
    [ ! -e no ]
    run bash -c "'$p' --bench basic >/dev/full"
    [ "$status" = 74 ]
}
