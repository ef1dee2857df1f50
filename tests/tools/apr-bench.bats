#!/usr/bin/env bats
# apr-bench - names, formats, options and exit codes; the figures themselves are judged by nobody here
bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    "$APR_BIN/gguf2apr" "$TOP/tests/vectors/tiny.gguf" -o m.apr
}

setup() {
    cd "$BATS_FILE_TMPDIR"
    x="$APR_BIN/apr-bench"
    fast="-r 2 --warmup 0 --threads 1"
}

@test "a prompt, steps, both, batches, start: rows by llama-bench's names" {
    run --separate-stderr -0 "$x" m.apr $fast -p 16,8 -n 4 --pg 8,4 --batch 1,3 --batch-size 5,2 --ttft --json
    [ -z "$stderr" ]
    [ "$(jq -c '[.tests[].test]' <<<"$output")" = '["load","ttft","pp16","pp8","tg4","pp8+tg4","pp5x1","tg2x1","pp5x3","tg2x3"]' ]
    jq -e '.schema == "speed/1" and .threads == 1 and .kv_type == "f16" and .repetitions == 2' <<<"$output"
    jq -e '.tests | all(.median > 0 and (.values | length) == 2 and .min <= .median and .median <= .max)' <<<"$output"
    jq -e '.tests | map(select(.step_ms)) | map(.test) == ["tg4","pp8+tg4","tg2x1","tg2x3"]' <<<"$output"
    jq -e '.tests | map(select(.step_ms)) | all(.step_ms | .p50 <= .p90 and .p90 <= .p99 and .p99 <= .max)' <<<"$output"
    jq -e '.tests[2:] | all(.peak_bytes > 1e6 and .kv_bytes > 0)' <<<"$output"
}

@test "table, CSV and Markdown have a line for each test; -o writes a file" {
    run --separate-stderr -0 "$x" m.apr $fast -p 8 -n 4
    [ "${#lines[@]}" = 4 ]
    [[ "${lines[2]}" == pp8\ *tok/s* && "${lines[3]}" == tg4\ *tok/s* ]]
    "$x" m.apr $fast -p 8 -n 4 --csv -o t.csv
    python3 - <<'E2'
import csv
rows = list(csv.DictReader(open('t.csv')))
assert [r['test'] for r in rows] == ['pp8', 'tg4']
assert all(None not in r and float(r['median']) > 0 for r in rows)
assert rows[0]['p99_ms'] == '' and float(rows[1]['p99_ms']) > 0
E2
    run --separate-stderr -0 "$x" m.apr $fast -p 8 -n 4 --md
    [[ "${lines[1]}" == "| test "* && "${lines[2]}" == "|---|"* && "${lines[4]}" == "| tg4 "* ]]
}

@test "the seven bricks, together and one by one" {
    run --separate-stderr -0 "$x" m.apr $fast --brick all --train-rows 16 --batch-size 8,4 --json
    [ "$(jq -c '[.tests[].test]' <<<"$output")" = '["load","ttft","tg128","pp8x8","tg4x8","lora_forward","loss","optimizer","train_step"]' ]
    jq -e '.tests | all(.median > 0)' <<<"$output"
    for b in lora_forward optimizer loss train_step; do
        run --separate-stderr -0 "$x" m.apr $fast --brick $b --train-rows 16 --json
        [ "$(jq -c '[.tests[] | .test, .unit]' <<<"$output")" = "[\"$b\",\"ms\"]" ]
    done
    run --separate-stderr -0 "$x" m.apr $fast --brick ttft --json
    [ "$(jq -c '[.tests[].unit]' <<<"$output")" = '["s","s"]' ]
    run --separate-stderr -0 "$x" m.apr $fast --brick throughput --json
    [ "$(jq -c '[.tests[].test]' <<<"$output")" = '["tg128"]' ]
}

@test "a training step in bf16, a cache in q8_0" {
    run --separate-stderr -0 "$x" m.apr $fast --brick train_step --train-rows 16 --precision bf16 --json
    jq -e '.precision == "bf16" and .tests[0].test == "train_step" and .tests[0].median > 0' <<<"$output"
    "$APR_BIN/gguf2apr" "$TOP/data/models/tiny-coder-29m-Q8_0.gguf" -o b.apr # heads of 64: q8_0 has blocks of 32
    bytes() { "$x" b.apr $fast -p 16 -n 0 --kv-type "$1" --json | jq '.tests[0].kv_bytes'; }
    [ "$(bytes q8_0)" -lt "$(bytes f16)" ]
    run --separate-stderr -64 "$x" m.apr --precision f16
}

@test "apr bench, as aprender's users call it" {
    run --separate-stderr -0 "$APR_BIN/apr" bench m.apr $fast --brick loss --train-rows 16 --json
    [ "$(jq -r '.tests[].test' <<<"$output")" = loss ]
}

@test "exit codes" {
    run -64 "$x"
    run -64 "$x" m.apr m.apr
    run -64 "$x" m.apr --json --md
    run -64 "$x" m.apr -p 8,x
    run -64 "$x" m.apr --pg 8
    run -64 "$x" m.apr --brick none
    run -64 "$x" m.apr -p 0 -n 0
    run -64 "$x" m.apr -p 100000
    run -66 "$x" none.apr
    run -66 "$x" none.apr --ttft
    run -69 "$x" m.apr --device abacus
    run -73 "$x" m.apr $fast -p 4 -n 0 -o none/t
    run -74 bash -c "'$x' m.apr $fast -p 4 -n 0 >/dev/full"
    head -c 3000 m.apr >cut.apr
    run -65 "$x" cut.apr --ttft
}
