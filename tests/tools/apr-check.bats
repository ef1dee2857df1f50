#!/usr/bin/env bats
# apr-check - ten stages hold for the built-in model, and damage is found
bats_require_minimum_version 1.5.0

setup_file() {
    export top="$BATS_TEST_DIRNAME/../.." m="$BATS_FILE_TMPDIR/m.apr"
    "$APR_BIN/gguf2apr" "$top/data/models/tiny-coder-29m-Q8_0.gguf" -o "$m"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-check"
}

@test "the built-in model: 100 and A+" {
    run --separate-stderr -0 "$x" "$m"
    [ "${lines[-1]}" = "score 100 of 100: A+" ]
    [ "${#lines[@]}" = 13 ]
    [[ "${lines[-2]}" == "  Receipt    ok   verified on 100 positions of 3 prompts: logits equal to the source's; tokenizer equal, chat template equal" ]]
    run -0 "$x" "$m" --json
    [ "$(jq -c '[.ok,.score,.letter,.container,([.stages[].name]|join(","))]' <<<"$output")" = \
        '[true,100,"A+",true,"Tokenizer,Embedding,RoPE,Q/K/V,Attention,MLP,LayerNorm,LM Head,Logits,Sampler"]' ]
}

@test "a flipped byte, a cut file: no, with the reason" {
    cp "$m" flip.apr
    printf '\125' | dd of=flip.apr bs=1 seek=20000000 conv=notrunc status=none
    run -1 "$x" flip.apr
    [[ "$output" == *"Container  BAD"*"score 0 of 100: F" ]]
    head -c 5000000 "$m" >cut.apr
    run -1 "$x" cut.apr --json
    [ "$(jq -c '[.ok,.score,.letter,.container]' <<<"$output")" = '[false,0,"F",false]' ]
    [ -n "$(jq -r .error <<<"$output")" ]
}

@test "exit codes" {
    run -64 "$x"
    run -64 "$x" a b
    run -66 "$x" none.apr
    run -69 "$x" "$m" --device nowhere
    run -74 bash -c "'$x' '$m' >/dev/full"
}
