#!/usr/bin/env bats
# apr-imatrix: sums that depend on nothing but model and text, both formats, sums of sums, refusals
bats_require_minimum_version 1.5.0

setup_file() {
    export M="$BATS_FILE_TMPDIR/m.apr" T="$BATS_FILE_TMPDIR/t.txt" A="$BATS_FILE_TMPDIR/a.gguf"
    "$APR_BIN/gguf2apr" "$TOP/tests/vectors/tiny.gguf" -o "$M"
    cat "$TOP"/lib/gguf.c | head -c 3000 >"$T"
    "$APR_BIN/apr-imatrix" "$M" "$T" --ctx 32 --chunks 6 --threads 1 -o "$A"
}

setup() {
    mkdir "$BATS_TEST_TMPDIR/w"
    cd "$BATS_TEST_TMPDIR/w"
}

@test "threads and the text's way in change nothing; a sidecar; nothing but the output" {
    "$APR_BIN/apr-imatrix" "$M" --ctx 32 --chunks 6 --threads 2 -o b.gguf <"$T"
    cmp <(tail -c 2000 "$A") <(tail -c 2000 b.gguf) # the text's name stands before
    [ "$(ls)" = "b.gguf"$'\n'"b.gguf.meta.json" ]
    "$APR_BIN/apr-imatrix" "$M" "$T" --ctx 32 --chunks 6 --device ref:q -o c.gguf
    cmp "$A" c.gguf
}

@test "what apr-quant makes of it differs from what it makes without, and needs no other file" {
    "$APR_BIN/apr-quant" "$M" --type q4_0 --requantize -q -o plain.apr
    "$APR_BIN/apr-quant" "$M" --type q4_0 --requantize -q --imatrix "$A" -o with.apr
    run -1 cmp plain.apr with.apr
}

@test "formats: through .dat and back; two halves add up; llama.cpp's files byte for byte" {
    v="$TOP/tests/vectors/imatrix"
    "$APR_BIN/apr-imatrix" --in-file "$v/layer0.gguf" --output-format dat -o - | cmp - "$v/layer0.dat"
    "$APR_BIN/apr-imatrix" --in-file "$v/layer0.gguf" -o - | cmp - "$v/layer0.gguf"
    "$APR_BIN/apr-imatrix" --in-file "$v/layer0.dat" --output-format dat -o - | cmp - "$v/layer0.dat"
    "$APR_BIN/apr-imatrix" "$M" "$T" --ctx 32 --chunks 3 -o half.gguf
    "$APR_BIN/apr-imatrix" "$M" "$T" --ctx 32 --chunks 3 --in-file half.gguf --process-output -o twice.gguf
    "$APR_BIN/apr-imatrix" --in-file half.gguf --in-file half.gguf -o sum.gguf
    [ "$(grep -ac in_sum2 twice.gguf)" -ge 1 ]
    run -0 "$APR_BIN/apr-imatrix" --in-file sum.gguf --output-format dat -o sum.dat
}

@test "usage is 64, a missing file 66, damage 65" {
    run --separate-stderr -64 "$APR_BIN/apr-imatrix" -o x.gguf
    run --separate-stderr -64 "$APR_BIN/apr-imatrix" a b c -o x.gguf
    run --separate-stderr -66 "$APR_BIN/apr-imatrix" none.apr "$T" -o x.gguf
    run --separate-stderr -66 "$APR_BIN/apr-imatrix" --in-file none.gguf -o x.gguf
    printf 'hello, world' | tee short >bad.dat
    run --separate-stderr -65 "$APR_BIN/apr-imatrix" "$M" short --ctx 32 -o x.gguf
    run --separate-stderr -65 "$APR_BIN/apr-imatrix" --in-file bad.dat -o x.gguf
    [[ "$stderr" == *"bad.dat: offset 4: name of a weight"* ]]
    head -c 9000 "$TOP/tests/vectors/imatrix/layer0.gguf" >cut.gguf
    run --separate-stderr -65 "$APR_BIN/apr-imatrix" --in-file cut.gguf -o x.gguf
    [ ! -e x.gguf ]
}
