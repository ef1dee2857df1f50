#!/usr/bin/env bats
# apr-pack - packed weights give the same bytes; foreign ones are passed over, damaged ones an error
bats_require_minimum_version 1.5.0

setup_file() {
    export top="$BATS_TEST_DIRNAME/../.."
    cd "$BATS_FILE_TMPDIR"
    "$APR_BIN/gguf2apr" "$top/data/models/tiny-coder-29m-Q8_0.gguf" -o m.apr
    "$APR_BIN/apr-pack" m.apr
    "$APR_BIN/apr-prompt" --bench basic --limit 2 --max-tokens 12 -o p.jsonl
}

setup() {
    cd "$BATS_TEST_TMPDIR" # tests of a file run side by side: each has its own files
    for f in m.apr p.jsonl; do ln -s "$BATS_FILE_TMPDIR/$f" .; done
    cp "$BATS_FILE_TMPDIR/m.apr.packed" .
    cp m.apr.packed kept
}

gen() {
    "$APR_BIN/apr-gen" -m m.apr p.jsonl --ids --logprobs "$@"
}

@test "the same bytes with packed weights and without, on every path" {
    gen -v 2>log >packed
    grep -q 'm.apr.packed: its weights are used' log
    for d in cpu:generic cpu:avx2 cpu:avx512 cpu:amx; do
        gen --device $d >got || { [ $? = 69 ] && continue; return 1; }
        cmp packed got
    done
    rm m.apr.packed
    gen -v 2>log >plain
    run ! grep -q packed log
    cmp packed plain
}

@test "packing again gives the same bytes, and from packed weights too" {
    "$APR_BIN/apr-pack" m.apr -o again
    cmp again kept
    rm m.apr.packed
    "$APR_BIN/apr-pack" m.apr --threads 1 -o again
    cmp again kept
    [ "$(jq -r .sha256 again.meta.json)" = "$(sha256sum <again | cut -d' ' -f1)" ]
}

@test "another model's file, another layout's, or no such file at all: passed over, and said" {
    "$APR_BIN/apr-quant" m.apr -t q4_0 --requantize -o other.apr
    "$APR_BIN/apr-pack" other.apr -o m.apr.packed
    gen >want -v 2>log
    grep -q 'made for another model' log
    cp kept m.apr.packed
    printf 'q' | dd of=m.apr.packed bs=1 seek=10 conv=notrunc status=none # the layout's name
    gen >got -v 2>log
    grep -q 'made for another layout' log
    cmp want got
    : >m.apr.packed
    gen >got
    cmp want got
    run --separate-stderr -69 "$APR_BIN/apr-pack" m.apr --device ref
    [[ "$stderr" == *"keeps no packed weights"* ]]
}

@test "a damaged file is an error that names it and the weight: 65, and nothing is written" {
    size=$(stat -c %s m.apr.packed)
    for at in 300 $((size / 2)) $((size - 5)); do # in the index, in a weight, in the last one
        cp kept m.apr.packed
        printf '\377\001\377' | dd of=m.apr.packed bs=1 seek=$at conv=notrunc status=none
        run --separate-stderr -65 gen
        [[ "$stderr" == *"m.apr.packed: "*damaged* ]]
        [ -z "$output" ]
    done
    for n in 255 256 1000 $((size - 1)); do
        head -c $n kept >m.apr.packed
        run gen
        [ $n = 255 ] && [ "$status" = 0 ] || [ "$status" = 65 ]
    done
}

@test "a model file that is damaged where packed weights are used: still found in what is read of it" {
    cp m.apr broken.apr
    cp kept broken.apr.packed
    size=$(stat -c %s broken.apr)
    printf '\177' | dd of=broken.apr bs=1 seek=$((size - 5000)) conv=notrunc status=none # the tokenizer, the last tensor
    run -65 --separate-stderr "$APR_BIN/apr-gen" -m broken.apr p.jsonl
    [[ "$stderr" == *"broken.apr: "* ]]
}

@test "bad input: no model, two models, a text file, an output that cannot be" {
    run -64 "$APR_BIN/apr-pack"
    run -64 "$APR_BIN/apr-pack" m.apr m.apr
    run -66 "$APR_BIN/apr-pack" none.apr
    run -65 "$APR_BIN/apr-pack" p.jsonl
    run -69 "$APR_BIN/apr-pack" m.apr --device cpu:avx9
    run "$APR_BIN/apr-pack" m.apr -o nowhere/x
    [ "$status" -ge 66 ]
    [ ! -e nowhere ]
}
