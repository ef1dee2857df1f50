#!/usr/bin/env bats
# gguf2apr - GGUF in, .apr out
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/gguf2apr"
    cp "$TOP/tests/vectors/tiny.gguf" .
}

# metadata of an .apr file as JSON
meta() {
    local n
    n=$(od -An -tu4 -j20 -N4 "$1" | tr -d ' ')
    tail -c +65 "$1" | head -c "$n"
}

@test "a GGUF file becomes an .apr file with all that belongs to it" {
    run --separate-stderr -0 "$x" tiny.gguf -o m.apr
    [ -z "$output$stderr" ]
    [ "$(head -c 3 m.apr)" = APR ]
    meta m.apr >m.json
    [ "$(jq -c '[.architecture, .hidden_size, .num_layers, .rope_type, .stop_token_ids, .chat_format, .original_format]' m.json)" = '["qwen2",32,2,2,[274,272],"chatml","gguf"]' ]
    [ "$(jq -r '.tensor_types["model.layers.1.mlp.down_proj.weight"]' m.json)" = Q8_0 ]
    [ "$(jq -r '.provenance[0].inputs[0].sha256' m.json)" = "$(sha256sum <tiny.gguf | cut -d' ' -f1)" ]
    [ "$(jq -r .sha256 m.apr.meta.json)" = "$(sha256sum <m.apr | cut -d' ' -f1)" ]
    [ "$(jq '.["tokenizer.vocabulary"] | length' m.json)" = 288 ]
}

@test "standard input and output; the same bytes whatever the way" {
    "$x" --no-verify tiny.gguf -o a.apr # what goes down a pipe cannot be looked at
    "$x" --no-verify - -o b.apr <tiny.gguf
    cat tiny.gguf | "$x" --no-verify - -o - >c.apr
    cmp b.apr c.apr
    cmp <(meta a.apr | jq -S 'del(.source)') <(meta b.apr | jq -S 'del(.source)')
    mkdir elsewhere && cp tiny.gguf elsewhere && "$x" --no-verify elsewhere/tiny.gguf -o elsewhere/z.apr
    cmp a.apr elsewhere/z.apr
}

@test "usage" {
    run -64 "$x"
    run -64 "$x" tiny.gguf
    run -64 "$x" tiny.gguf tiny.gguf -o m.apr
}

@test "no such file is 66, a folder too" {
    run --separate-stderr -66 "$x" nowhere.gguf -o m.apr
    [[ "$stderr" == "gguf2apr: nowhere.gguf: "* ]]
    run -66 "$x" . -o m.apr
    [ ! -e m.apr ]
}

@test "cut anywhere: 65, the file is named, nothing is left" {
    size=$(stat -c %s tiny.gguf)
    for n in 0 3 8 20 24 100 2000 6000 9000 $((size / 2)) $((size - 1)); do
        head -c "$n" tiny.gguf >cut.gguf
        run --separate-stderr -65 "$x" cut.gguf -o m.apr
        [[ "$stderr" == "gguf2apr: cut.gguf: "* ]] || { echo "$n: $stderr"; return 1; }
        [ -z "$(ls -A | grep m.apr)" ]
    done
    head -c 5000 tiny.gguf >cut.gguf
    run -65 bash -c "cat cut.gguf | '$x' - -o m.apr"
}

@test "what is not supported is refused by name" {
    sed 's/qwen2/qwenX/g' tiny.gguf >arch.gguf
    run --separate-stderr -65 "$x" arch.gguf -o m.apr
    [[ "$stderr" == *"general.architecture"*"qwen2, qwen3, llama"*'"qwenX"'* ]]
    sed 's/tokenizer.ggml.merges/tokenizer.ggml.mergeX/' tiny.gguf >merges.gguf
    run --separate-stderr -65 "$x" merges.gguf -o m.apr
    [[ "$stderr" == *"merges.gguf"*"tokenizer.ggml.merges"* ]]
    sed 's/blk.1.attn_q.bias/blk.1.attn_Q.bias/' tiny.gguf >name.gguf
    run --separate-stderr -65 "$x" name.gguf -o m.apr
    [[ "$stderr" == *"tensor blk.1.attn_q.bias: missing"* ]]
    printf XXXX | cat - <(tail -c +5 tiny.gguf) >magic.gguf
    run --separate-stderr -65 "$x" magic.gguf -o m.apr
    [[ "$stderr" == *"expected magic 47475546, found 58585858"* ]]
    [ ! -e m.apr ]
}

set_key() { # FILE KEY BYTES: the value of the key, 2 or 4 bytes
    python3 - "$@" <<'PY'
import sys
b = bytearray(open(sys.argv[1], "rb").read())
at = b.index(sys.argv[2].encode()) + len(sys.argv[2]) + 4
v = bytes.fromhex(sys.argv[3])
b[at:at + len(v)] = v
open(sys.argv[1], "wb").write(b)
PY
}

@test "ids of special tokens: beyond the vocabulary is 65, -1 is none, by model and by tokenizer" {
    for k in bos eos; do
        for v in ffffffff 0f000000; do
            LC_ALL=C sed "s/ggml.eos_token_id/ggml.${k}_token_id/" tiny.gguf >ids.gguf
            set_key ids.gguf tokenizer.ggml.${k}_token_id $v
            "$x" ids.gguf -o m.apr
            rm m.apr*
            [ "$(echo a | "$APR_BIN/apr-tok" ids.gguf | wc -l)" = 1 ]
        done
        for v in 00100000 feffffff 00000080; do
            LC_ALL=C sed "s/ggml.eos_token_id/ggml.${k}_token_id/" tiny.gguf >ids.gguf
            set_key ids.gguf tokenizer.ggml.${k}_token_id $v
            run --separate-stderr -65 "$x" ids.gguf -o m.apr
            [[ "$stderr" == "gguf2apr: ids.gguf: tokenizer.ggml.${k}_token_id: "*" is outside the vocabulary of 288" ]]
            [ ! -e m.apr ]
            run --separate-stderr -65 "$APR_BIN/apr-tok" ids.gguf tiny.gguf
            [[ "$stderr" == "apr-tok: ids.gguf: tokenizer.ggml.${k}_token_id: "*" is outside the vocabulary of 275" ]]
        done
    done
}

@test "split files that do not agree: 65, or 66 for one that is missing" {
    "$x" tiny.gguf -o a.apr
    "$APR_BIN/apr2gguf" a.apr -o s.gguf --split-max-tensors 10
    rm -f ./*.meta.json
    mkdir keep && mv s-* keep
    try() { # CODE WORDS
        run --separate-stderr -"$1" "$x" s-00001-of-00003.gguf -o m.apr
        [[ $stderr == "gguf2apr: s-0000"*"$2"* ]] || { echo "$2: $stderr"; return 1; }
        [ ! -e m.apr ]
        cp keep/* .
    }
    cp keep/* .
    "$x" s-00001-of-00003.gguf -o b.apr
    cmp <(meta a.apr | jq -c .tensor_xxh64) <(meta b.apr | jq -c .tensor_xxh64)
    rm b.apr*
    set_key s-00001-of-00003.gguf split.no 0100 && try 65 "split.no: expected 0, found 1"
    set_key s-00001-of-00003.gguf split.count 0200 && try 65 "of-00002.gguf"
    set_key s-00001-of-00003.gguf split.count 0000 && try 65 "split.tensors.count: expected 26 tensors, found 10"
    set_key s-00001-of-00003.gguf split.tensors.count 1b000000 && try 65 "split.tensors.count: expected 27"
    set_key s-00002-of-00003.gguf split.no 0200 && try 65 "split.no, split.count: expected 1, 3, found 2, 3"
    set_key s-00003-of-00003.gguf split.count 0400 && try 65 "split.no, split.count: expected 2, 3, found 2, 4"
    set_key s-00003-of-00003.gguf split.tensors.count 01000000 && try 65 "split.tensors.count: expected 26 as in the first file, found 1"
    rm s-00002-of-00003.gguf && try 66 "2-of-00003.gguf: No such file"
    cp s-00002-of-00003.gguf s-00003-of-00003.gguf && try 65 "split.no"
    head -c 3000 keep/s-00002-of-00003.gguf >s-00002-of-00003.gguf && try 65 "2-of-00003.gguf: truncated"
    cp s-00001-of-00003.gguf other.gguf
    run --separate-stderr -65 "$x" other.gguf -o m.apr
    [[ $stderr == *"give the first file"* ]]
    run --separate-stderr -65 "$x" s-00002-of-00003.gguf -o m.apr
    [[ $stderr == *"give the first file"* ]]
}

@test "--enforce-provenance refuses; a file of a hub's cache knows where it came from" {
    run --separate-stderr -65 "$x" tiny.gguf -o m.apr --enforce-provenance
    [[ $stderr == *"a GGUF file is a conversion"* ]]
    [ ! -e m.apr ]
    export HF_HOME=$PWD/home
    unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE
    c=0123456789abcdef0123456789abcdef01234567 base=home/hub/models--Some--Model-GGUF
    sum=$(sha256sum <tiny.gguf | cut -d' ' -f1)
    mkdir -p $base/{refs,blobs,snapshots/$c} && cp tiny.gguf $base/blobs/$sum && ln -s ../../blobs/$sum $base/snapshots/$c/q.gguf
    printf $c >$base/refs/main
    "$x" hf://Some/Model-GGUF:q.gguf -o m.apr
    [ "$(meta m.apr | jq -r .source)" = hf://Some/Model-GGUF@$c:q.gguf ]
    run --separate-stderr -66 "$x" hf://Some/Model-GGUF:r.gguf -o n.apr
    [[ $stderr == *"fetch it with apr-pull first"* ]]
}

@test "output that cannot be made is 73, a full disk 74" {
    mkdir ro && chmod 555 ro
    if [ -w ro ]; then # root: a file in the way instead
        touch file
        run -73 "$x" tiny.gguf -o file/m.apr
    else
        run -73 "$x" tiny.gguf -o ro/m.apr
    fi
    run -73 "$x" tiny.gguf -o nowhere/m.apr
    mkdir dir && run -73 "$x" tiny.gguf -o dir
    run -74 "$x" tiny.gguf -o /dev/full
    run -74 bash -c "'$x' tiny.gguf -o - >/dev/full"
    [ -c /dev/full ]
}

@test "files made by llama.cpp" {
    d="$APR_SHARED/models/tiny-coder-29m"
    [ -d "$d" ] || skip "no $d"
    "$x" "$d/tiny-coder-29m-Q4_K_M.gguf" -o m.apr
    [ "$(meta m.apr | jq -c '[.quantization.quant_type, .param_count, .stop_token_ids]')" = '["Q4_K",29377024,[8186,8184]]' ]
}
