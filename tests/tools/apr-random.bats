#!/usr/bin/env bats
# apr-random - random weights in a true shape: computes, equal bytes, the way to GGUF
bats_require_minimum_version 1.5.0

setup() {
    mkdir "$BATS_TEST_TMPDIR/w"
    cd "$BATS_TEST_TMPDIR/w"
    x="$APR_BIN/apr-random"
}

@test "the tiny shape in each kind of type: a model that computes, to GGUF and back the same tensors" {
    for t in q4_k_m q5_k_m q6_k q8_0 q4_0 q5_1 f16; do
        run --separate-stderr -0 "$x" --shape tiny-coder-29m --type $t -o m.apr
        [ -z "$output$stderr" ]
        [ "$(jq -r .sha256 m.apr.meta.json)" = "$(sha256sum <m.apr | cut -d' ' -f1)" ]
        # noise is no better than a guess among 8192, and not much worse
        "$APR_BIN/apr-ppl" m.apr --ctx 64 --chunks 1 --json "$TOP/README.md" >ppl
        jq -e '.ppl > 4000 and .ppl < 40000' ppl >/dev/null || { echo "$t: $(cat ppl)"; return 1; }
        "$APR_BIN/apr2gguf" m.apr -o m.gguf
        "$APR_BIN/gguf2apr" m.gguf -o back.apr
        [ "$("$APR_BIN/apr-info" m.apr | grep '^[A-Z]' | sort)" = "$("$APR_BIN/apr-info" back.apr | grep '^[A-Z]' | sort)" ]
    done
}

@test "the same seed gives the same bytes, on a pipe too; another seed others" {
    "$x" --shape tiny-coder-29m -o a.apr
    "$x" --shape tiny-coder-29m >b.apr
    "$x" --shape tiny-coder-29m --seed 1 -o c.apr
    cmp a.apr b.apr
    run -1 cmp -s a.apr c.apr
}

@test "a shape or type that is none, an operand: 64; no such folder: 73; a full disk: 74" {
    run --separate-stderr -64 "$x" --shape gpt-2
    [[ "$stderr" == *gpt-2* ]]
    run -64 "$x" --type q3_k
    run -64 "$x" m.apr
    run -73 "$x" --shape tiny-coder-29m -o none/m.apr
    run -74 bash -c "'$x' --shape tiny-coder-29m >/dev/full"
}
