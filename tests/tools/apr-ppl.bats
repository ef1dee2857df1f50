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

# bats test_tags=long
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

@test "KL divergence from a base file: of itself 0, of a copy in four bits not" {
    "$x" "$m" "$t" --ctx 64 --kl-divergence-base base --json >p.json
    n=$(jq .chunks p.json) v=$("$APR_BIN/apr-info" "$m" --json | jq .hparams.vocab_size)
    # llama.cpp's format: its head, the tokens, 31 positions a chunk
    [ "$(stat -c %s base)" = $((20 + n * 64 * 4 + n * 31 * (8 + 4 * ((v + 1) / 2)))) ]
    [ "$(head -c 8 base)" = _logits_ ]
    [ "$(od -An -td4 -j8 -N12 base | xargs)" = "64 $v $n" ]
    [ "$(od -An -td4 -j20 -N$((64 * 4)) -w4 -v base | xargs)" = "$("$APR_BIN/apr-tok" "$m" "$t" --bos --json | jq -r '.ids[:64] | join(" ")')" ]
    run --separate-stderr -0 "$x" "$m" --kl-divergence --kl-divergence-base base --json
    jq -e --slurpfile p p.json '.schema=="kld/1" and (.ppl/$p[0].ppl-1|fabs)<1e-8 and (.ppl/.ppl_base-1|fabs)<1e-4
        and (.kl|fabs)<1e-5 and .same_top==1 and .scored==$p[0].scored and .correlation>0.9999' <<<"$output"
    "$APR_BIN/apr-quant" "$m" --type q4_0 --requantize --no-verify -o q4.apr
    run --separate-stderr -0 "$x" q4.apr --kl-divergence --kl-divergence-base base --json
    jq -e '.kl>1e-3 and .kl_percentiles["100"]>=.kl_percentiles["50"] and .same_top<1 and .ppl_stderr>0' <<<"$output"
    run -0 "$x" q4.apr --kl-divergence --kl-divergence-base base --threads 1
    [[ "$output" == *"Mean PPL(Q)  "*" ± "*"Mean    KLD: "*"99.9%   KLD: "*"Same top p: "* ]]
    [ "$output" = "$("$x" q4.apr --kl-divergence --kl-divergence-base base)" ]
    run -0 "$x" q4.apr --kl-divergence --kl-divergence-base base --chunks 2 --json
    jq -e '.chunks==2 and .scored==62' <<<"$output"
}

@test "llama.cpp's base file, its statistics" {
    "$APR_BIN/st2apr" "$top/tests/vectors/tiny-hf" --no-verify -o tiny.apr
    "$APR_BIN/apr-quant" tiny.apr --type q5_0 --no-verify -o q5.apr
    "$APR_BIN/apr2st" q5.apr --dtype f32 --no-verify -o q5 # as llama.cpp computed it: no 8-bit activations
    "$APR_BIN/st2apr" q5 --no-verify -o m.apr
    # llama-perplexity's words of it, with an f16 KV cache:
    # 276.2311 ±   28.4442      -0.00622 ±    0.00954       0.00173 ±    0.00014     0.026 ±  0.004 %    83.333 ±  6.920 %
    "$x" m.apr --kl-divergence --kl-divergence-base "$top/tests/vectors/kld/tiny.kld" --json >k.json
    jq -e 'def near(a; b): (a - b | fabs) <= b * 0.01; near(.ppl; 276.2311) and near(.ppl_stderr; 28.4442)
        and (.ln_ratio + 0.00622 | fabs) < 2e-4 and near(.ln_ratio_stderr; 0.00954) and near(.kl; 0.00173)
        and (.kl_stderr - 0.00014 | fabs) < 1e-5 and (100 * .dp_rms - 0.026 | fabs) < 1e-3
        and (100 * .same_top - 83.333 | fabs) < 1e-3 and (100 * .same_top_stderr - 6.920 | fabs) < 1e-3' k.json
    "$x" tiny.apr --kl-divergence --kl-divergence-base "$top/tests/vectors/kld/tiny.kld" --json | jq -e '.kl < 1e-5 and .same_top == 1'
}

@test "base files that are none" {
    "$x" "$m" "$t" --ctx 64 --chunks 2 --kl-divergence-base base
    kl=("$x" "$m" --kl-divergence --kl-divergence-base)
    run -66 "${kl[@]}" none
    head -c -1 base >cut
    run --separate-stderr -65 "${kl[@]}" cut
    [[ "$stderr" == *"cut: "*" bytes, which are not those of 2 chunks of 64 tokens"* ]]
    run -65 "${kl[@]}" "$t"
    "$APR_BIN/gguf2apr" "$top/tests/vectors/tiny.gguf" -o tiny.apr
    run --separate-stderr -65 "$x" tiny.apr --kl-divergence --kl-divergence-base base
    [[ "$stderr" == *"the model has 288" ]]
    run -64 "${kl[@]}" base --ctx 32
    run -64 "$x" "$m" "$t" --kl-divergence --kl-divergence-base base
    run -64 "$x" "$m" --kl-divergence
    run -64 "$x" "$m" "$t" --ctx 3
    run -73 "$x" "$m" "$t" --ctx 64 --chunks 1 --kl-divergence-base no/such/folder
    run -74 "$x" "$m" "$t" --ctx 64 --chunks 1 --kl-divergence-base /dev/full
    [ -z "$(ls -A | grep tmp)" ]
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

@test "an adapter beside the weights: the perplexity of the fused model" {
    "$APR_BIN/gguf2apr" "$TOP/tests/vectors/tiny.gguf" -o t.apr
    "$APR_BIN/apr-quant" t.apr --type f32 --requantize -o f32.apr >/dev/null
    printf '{"instruction":"say %d","response":"yes"}\n' 1 2 3 4 >d.jsonl
    "$APR_BIN/apr-lora" -q f32.apr --data d.jsonl -o a --rank 4 --lr 0.05 --epochs 4 --dora
    "$APR_BIN/apr-fuse" --no-verify f32.apr --adapter a -o fused.apr >/dev/null
    seq 300 >text
    ppl() { "$APR_BIN/apr-ppl" --json --ctx 64 "$@" text | jq .ppl; }
    jq -ne --argjson a "$(ppl f32.apr --adapter a)" --argjson f "$(ppl fused.apr)" --argjson b "$(ppl f32.apr)" \
        '($a / $f - 1 | fabs) < 1e-5 and ($a / $b - 1 | fabs) > 1e-3'
    run --separate-stderr -65 "$APR_BIN/apr-ppl" --ctx 64 fused.apr --adapter a text
    [[ "$stderr" == *"a: trained on weights"* ]]
}
