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
    "$APR_BIN/apr-quant" --no-verify "$M" --type q8_0 -o plain.apr
    "$APR_BIN/apr-quant" --no-verify - --type q8_0 --threads 2 <"$M" | cmp - plain.apr
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

# types and hashes of all tensors but the tokenizer's, in one number
tensors() {
    n=$(od -A n -t u4 -j 20 -N 4 "$1")
    tail -c +65 "$1" | head -c $((n)) | jq -cS '.tensor_xxh64 | del(."tokenizer.tables")' | sha256sum | cut -c1-16
}

@test "the bytes of llama-quantize: mixes with and without an importance matrix, rules" {
    im="$TOP/tests/vectors/imatrix/layer0.dat"
    # of the files that llama.cpp v0.5.0, compiled with -ffp-contract=off, made of the same model, taken by
    # gguf2apr into .apr: TYPE, without, with llama-imatrix's first layer
    while read -r type plain with; do
        "$APR_BIN/apr-quant" --no-verify "$M" --type "$type" -o x.apr
        [ "$(tensors x.apr)" = "$plain" ]
        "$APR_BIN/apr-quant" --no-verify -q "$M" --type "$type" --imatrix "$im" -o x.apr
        [ "$(tensors x.apr)" = "$with" ]
    done <<'END'
q4_0 22b06bd0f73a1546 3bc28ee10ff9ae3e
q3_k_m 5a5c4a258abe22f0 9c49ef58ea076673
iq4_xs 3ae4d355664ad36a a99738f9eaa30d95
q2_k 4c9c211db7b23e50 9911d58410ede65e
END
    "$APR_BIN/apr-quant" --no-verify -q "$M" --type q4_0 --imatrix "${im%.dat}.gguf" -o x.apr # the other format
    [ "$(tensors x.apr)" = 3bc28ee10ff9ae3e ]
}

@test "rules, --pure, types of head and embedding: the plan says what each tensor gets" {
    plan() { "$APR_BIN/apr-quant" "$M" --type "$@" --plan; }
    plan q4_k_m --tensor-type 'blk\.\d\.attn_[qk]=q2_k' --tensor-type 'layers\.[01].*down=IQ4_XS' >p
    [ "$(grep -c $'\tQ2_K\t' p)" = 16 ]
    grep -q $'^model.layers.1.mlp.down_proj.weight\t(512, 1536)\tBF16\tIQ4_XS\t417792$' p
    grep -q $'^model.layers.2.mlp.down_proj.weight\t.*\tQ6_K\t' p # as llama.cpp: the first of the others
    plan q4_k_m --pure | grep -q $'^Q4_K\t57\t'
    plan q4_k_m --token-embedding-type q8_0 | grep -q $'^model.embed_tokens.weight\t.*\tQ8_0\t'
    plan q4_k_m --output-tensor-type f16 | grep -q $'^model.embed_tokens.weight\t.*\tF16\t' # tied
    # names of aprender
    for pair in int4=q4_0 int8=q8_0 fp16=f16 q4k=q4_k_m q5k=q5_k_m q6k=q6_k; do
        [ "$(plan "${pair%=*}")" = "$(plan "${pair#*=}")" ]
    done
    for bad in x =q4_0 x= x=q9_0 'x(=q4_0'; do
        run --separate-stderr -64 "$APR_BIN/apr-quant" "$M" --type q4_k_m --tensor-type "$bad" --plan
    done
}

@test "nf4: linear layers in 4.127 bits, refused by GGUF, and back to numbers near the first" {
    "$APR_BIN/apr-quant" "$M" --type nf4 --threads 1 -o one.apr
    "$APR_BIN/apr-quant" "$M" --type nf4 --threads 2 -o two.apr
    cmp one.apr two.apr
    "$APR_BIN/apr-quant" one.apr --type nf4 --plan | grep -q $'^NF4\t56\t25165824\t12982496$'
    run --separate-stderr -65 "$APR_BIN/apr2gguf" one.apr -o x.gguf
    [[ "$stderr" == *NF4* ]]
    echo 'def add(a, b): return a + b' | "$APR_BIN/apr-ppl" one.apr --ctx 8 --json | jq -e '.ppl < 300'
}

@test "every type runs: a perplexity close to the original's" {
    cat "$TOP"/lib/bpe.c "$TOP"/lib/gguf.c | head -c 12000 >t
    base=$("$APR_BIN/apr-ppl" "$M" --ctx 128 --chunks 1 --json t | jq .ppl)
    for type in q2_k q3_k_l iq4_nl iq4_xs mxfp4 nf4; do
        "$APR_BIN/apr-quant" "$M" --type $type -o x.apr
        "$APR_BIN/apr-ppl" x.apr --ctx 128 --chunks 1 --json t |
            jq -e --argjson base "$base" --arg t $type \
                '.ppl / $base | . > 0.8 and . < ($t | if . == "q2_k" then 4 else 1.5 end)'
    done
}

@test "an importance matrix that does not fit: 65 with the weight" {
    run --separate-stderr -65 "$APR_BIN/apr-quant" "$M" --type q4_0 --imatrix "$M" -o x.apr
    first="$TOP/tests/vectors/imatrix/layer0.dat"
    sed 's/blk\.0\./blk.9./g' "$first" >other.dat # a layer that this model has not
    run --separate-stderr -65 "$APR_BIN/apr-quant" "$M" --type q4_0 --imatrix other.dat -o x.apr
    [[ "$stderr" == *"names none of this model's weights"* ]]
    head -c 5000 "$first" >cut.dat
    run --separate-stderr -65 "$APR_BIN/apr-quant" "$M" --type q4_0 --imatrix cut.dat -o x.apr
    [[ "$stderr" == *"cut.dat: "* ]]
    [ ! -e x.apr ]
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
    # and a footer CRC that agrees
    python3 - nan.apr <<'END'
import sys, zlib
with open(sys.argv[1], 'r+b') as f:
    crc = zlib.crc32(f.read()[:-4])
    f.seek(-4, 2)
    f.write(crc.to_bytes(4, 'little'))
END
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
