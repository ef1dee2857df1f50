#!/usr/bin/env bats
# apr-quant: the sizes and bytes of llama.cpp's mixes, everything carried on, refusals
bats_require_minimum_version 1.5.0

setup_file() {
    export MODELS="${APR_SHARED:-$BATS_TEST_DIRNAME/../../../shared}/models/tiny-coder-29m"
    export M="$BATS_FILE_TMPDIR/m.apr" Q8="$BATS_FILE_TMPDIR/q8.apr"
    [ -e "$MODELS/hf" ] || return 0
    "$APR_BIN/st2apr" "$MODELS/hf" -o "$M"
    "$APR_BIN/apr-quant" "$M" --type q8_0 -o "$Q8"
}

setup() {
    [ -e "$Q8" ] || skip "no $MODELS"
    mkdir "$BATS_TEST_TMPDIR/w"
    cd "$BATS_TEST_TMPDIR/w" # bats keeps files of its own one level up
}

# the same model's file by llama.cpp: $1 name part; its size in $theirs
gguf_size() {
    theirs=$(stat -c %s "$MODELS/tiny-coder-29m-$1.gguf")
}

@test "q4_k_m: the plan's bytes, and a file of llama.cpp's size" {
    run --separate-stderr -0 "$APR_BIN/apr-quant" "$M" --type q4_k_m --plan
    [[ "$output" == *$'Q4_K\t48\t21495808\t12091392\n'*$'Q6_K\t9\t7864320\t6451200\n'* ]]
    [ -z "$(ls)" ]
    run --separate-stderr -0 "$APR_BIN/apr-quant" "$M" --type q4_k_m -o q4.apr
    [ -z "$output$stderr" ]
    [ "$(ls)" = "q4.apr"$'\n'"q4.apr.meta.json" ]
    gguf_size Q4_K_M
    ours=$(stat -c %s q4.apr)
    [ $((ours * 200)) -ge $((theirs * 199)) ] && [ $((ours * 200)) -le $((theirs * 201)) ]
    [ "$(jq -r .sha256 q4.apr.meta.json)" = "$(sha256sum <q4.apr | cut -d' ' -f1)" ]
    [ "$(jq .bytes q4.apr.meta.json)" = "$ours" ]
}

@test "the same bytes with one thread and two, to a file and down a pipe, from a pipe" {
    "$APR_BIN/apr-quant" "$M" --type q8_0 --threads 1 -o one.apr
    cmp one.apr "$Q8"
    "$APR_BIN/apr-quant" - --type q8_0 --threads 2 <"$M" | cmp - "$Q8"
}

@test "from gguf2apr's q8_0: no change of type, no change of weights" {
    "$APR_BIN/gguf2apr" "$MODELS/tiny-coder-29m-Q8_0.gguf" -o g.apr
    run -0 "$APR_BIN/apr-quant" g.apr --type q8_0 -o same.apr
    # data of both files, from their data offset to the footer: tensors have the same order and types
    data() {
        off=$(od -A n -t u8 -j 32 -N 8 "$1")
        tail -c +$((off + 1)) "$1" | head -c 31262720 | sha256sum
    }
    [ "$(data g.apr)" = "$(data same.apr)" ]
}

@test "quantized weights are not rounded again unless asked" {
    run --separate-stderr -65 "$APR_BIN/apr-quant" "$Q8" --type q4_0 -o x.apr
    [[ "$stderr" == *"q8.apr: tensor "*"quantized already (Q8_0)"*"--requantize"* ]]
    [ -z "$(ls)" ]
    run --separate-stderr -0 "$APR_BIN/apr-quant" "$Q8" --type q4_0 --requantize --plan
    [[ "$stderr" == *"rounded a second time"* ]]
    run --separate-stderr -0 "$APR_BIN/apr-quant" "$Q8" --type f32 --plan
    [ -z "$stderr" ]
}

@test "NaN in the weights: 65, tensor and place, nothing left" {
    sed 's/"tensor_xxh64"/"tensor_xxh65"/' "$M" >nan.apr # no hash that would tell first
    off=$(od -A n -t u8 -j 32 -N 8 nan.apr)
    # the first tensor is the embedding, BF16: element 5 of row 3
    printf '\xc0\x7f' | dd of=nan.apr bs=1 seek=$((off + 2 * (3 * 512 + 5))) conv=notrunc status=none
    head -c -4 nan.apr >body # and a footer CRC that agrees: gzip's is the same CRC-32
    { cat body; gzip -c body | tail -c 8 | head -c 4; } >nan.apr
    rm body
    run --separate-stderr -65 "$APR_BIN/apr-quant" nan.apr --type q8_0 -o x.apr
    [[ "$stderr" == *"nan.apr: tensor model.embed_tokens.weight: element "*" is NaN"* ]]
    [ "$(ls)" = nan.apr ]
}

@test "usage is 64, a missing file 66, damage 65, no folder 73, a full disk 74" {
    for args in "$M" "--type q8_0" "$M --type q9_0" "$M $M --type q8_0" "$M --type q8_0 --threads x"; do
        # shellcheck disable=SC2086
        run --separate-stderr -64 "$APR_BIN/apr-quant" $args
        [ -z "$output" ]
    done
    run --separate-stderr -66 "$APR_BIN/apr-quant" none.apr --type q8_0 -o x.apr
    head -c 1000000 "$M" >cut.apr
    run --separate-stderr -65 "$APR_BIN/apr-quant" cut.apr --type q8_0 -o x.apr
    run --separate-stderr -66 "$APR_BIN/apr-quant" /dev/null --type q8_0 -o x.apr
    run --separate-stderr -73 "$APR_BIN/apr-quant" "$M" --type q8_0 -o none/x.apr
    run --separate-stderr -74 bash -c "'$APR_BIN/apr-quant' '$M' --type q8_0 >/dev/full"
    [ "$(ls)" = cut.apr ]
}
