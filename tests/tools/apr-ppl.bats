#!/usr/bin/env bats
# apr-ppl - figures that compare with llama.cpp's, every exit code
bats_require_minimum_version 1.5.0

setup_file() {
    export top="$BATS_TEST_DIRNAME/../.." m="$BATS_FILE_TMPDIR/m.apr"
    "$APR_BIN/gguf2apr" "$top/data/models/tiny-coder-29m-Q8_0.gguf" -o "$m"
    head -c 2000 "$top/lib/cli.c" >"$BATS_FILE_TMPDIR/t"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-ppl"
    t="$BATS_FILE_TMPDIR/t"
}

@test "text, - and no operand; one line or JSON" {
    run --separate-stderr -0 "$x" "$m" "$t" --ctx 128
    [[ "$output" =~ ^"perplexity "[0-9.]+" +- "[0-9.]+" ("[0-9]+" tokens scored in "[0-9]+" chunks of 128)"$ ]]
    [ "$("$x" "$m" - --ctx 128 <"$t")" = "$output" ]
    [ "$("$x" "$m" --ctx 128 --threads 1 <"$t")" = "$output" ]
    run -0 "$x" "$m" "$t" --ctx 128 --json
    jq -e '.ppl>1 and .stderr>0 and .chunks==(.tokens/128|floor) and .scored==.chunks*63' <<<"$output"
    "$x" "$m" "$t" --ctx 128 --json -o p.json
    [ "$(jq .ppl p.json)" = "$(jq .ppl <<<"$output")" ]
}

@test "Q8_0 is llama.cpp's figure within 0.3 %" {
    [ -n "$APR_SLOW" ] || skip "a minute: APR_SLOW=1"
    [ -f "$APR_SHARED/golden/ppl_text.txt" ] || skip "no golden/ppl_text.txt"
    "$x" "$m" "$APR_SHARED/golden/ppl_text.txt" --json | jq -e '(.ppl/5.7770-1|fabs)<0.003 and .tokens==58112 and .chunks==113'
}

# the larger distance of the perplexities with f16 and q8_0 from that with f32, in parts per million
kv_types() {
    for k in f32 f16 q8_0; do "$x" "$m" "$1" --json --kv-type $k; done |
        jq -s 'map(.ppl) | [.[1:][] / .[0] - 1 | fabs * 1e6] | max'
}

@test "KV cache in f16 and q8_0: within 0.1 % of f32, and the bits of ref:q" {
    zcat "$top/data/bench/HumanEval.jsonl.gz" | jq -r '.prompt + .canonical_solution' | head -c 16000 >code
    d=$(kv_types code)
    echo "$d ppm"
    jq -en "$d > 0 and $d < 1000"
    for k in f16 q8_0; do
        "$x" "$m" code --kv-type $k --ctx 48 --chunks 1 --json | jq 'del(.device)' >a
        "$x" "$m" code --kv-type $k --ctx 48 --chunks 1 --json --device ref:q | jq 'del(.device)' >b
        cmp a b
    done
    [ -n "$APR_SLOW" ] && [ -f "$APR_SHARED/golden/ppl_text.txt" ] || return 0
    d=$(kv_types "$APR_SHARED/golden/ppl_text.txt")
    echo "$d ppm"
    jq -en "$d < 1000"
}

@test "exit codes" {
    run -64 "$x"
    run -64 "$x" "$m" a b
    run --separate-stderr -65 "$x" "$m" <<<"too short"
    [[ "$stderr" == *"a chunk needs 512" ]]
    printf 'x\377%.0s' {1..600} >bad
    run -65 "$x" "$m" bad
    head -c 100000 "$m" >cut.apr
    run -65 "$x" cut.apr "$t"
    run -66 "$x" "$m" none
    run -66 "$x" none "$t"
    run -69 "$x" "$m" "$t" --device nowhere
    run -73 "$x" "$m" "$t" --ctx 64 --chunks 1 -o no/such/folder
    run -74 bash -c "'$x' '$m' '$t' --ctx 64 --chunks 1 >/dev/full"
}
