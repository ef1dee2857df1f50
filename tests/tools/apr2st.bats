#!/usr/bin/env bats
# apr2st - .apr in, a Hugging Face folder out, and the way back
bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    "$APR_BIN/gguf2apr" "$TOP/tests/vectors/tiny.gguf" -o q8.apr
    "$APR_BIN/st2apr" "$TOP/tests/vectors/tiny-hf" -o m.apr
    "$APR_BIN/gguf2apr" "$TOP/data/models/tiny-coder-29m-Q8_0.gguf" -o tiny.apr
}

setup() {
    mkdir "$BATS_TEST_TMPDIR/w"
    cd "$BATS_TEST_TMPDIR/w"
    f="$BATS_FILE_TMPDIR"
    x="$APR_BIN/apr2st"
}

# metadata of an .apr file as JSON
meta() {
    local n
    n=$(od -An -tu4 -j20 -N4 "$1" | tr -d ' ')
    tail -c +65 "$1" | head -c "$n"
}

# the same hyper-parameters, template, tokenizer and tensors in two .apr files
same_apr() {
    diff <(meta "$1" | jq -S 'del(.provenance, .source, .receipt)') <(meta "$2" | jq -S 'del(.provenance, .source, .receipt)')
}

# the same ids of the torture texts, special tokens as text and as tokens
same_ids() {
    jq -r .text "$TOP/tests/vectors/tokenizer/torture.jsonl" >torture
    for s in "" -s --bos; do
        cmp <("$APR_BIN/apr-tok" $s "$1" torture) <("$APR_BIN/apr-tok" $s "$2" torture)
    done
}

@test "generation_config.json and tokenizer_config.json come back with their own keys" {
    cp -r "$TOP/tests/vectors/tiny-hf" hf
    jq '.temperature = 0.6 | .top_k = 20' hf/generation_config.json >g && mv g hf/generation_config.json
    jq '.model_max_length = 99 | .legacy = false | .added_tokens_decoder = {}' hf/tokenizer_config.json >t && mv t hf/tokenizer_config.json
    "$APR_BIN/st2apr" hf -o a.apr
    "$APR_BIN/apr-quant" a.apr --type f16 -o q.apr
    "$x" q.apr -o d
    diff <(jq -S . hf/generation_config.json) <(jq -S . d/generation_config.json)
    diff <(jq -S 'del(.added_tokens_decoder)' hf/tokenizer_config.json) <(jq -S . d/tokenizer_config.json)
    # stop ids that only config.json had are not lost with it
    jq '.eos_token_id = [274, 272, 7]' hf/config.json >c && mv c hf/config.json
    "$APR_BIN/st2apr" hf -o b.apr
    "$x" b.apr -o e
    [ "$(jq -c '.eos_token_id, .temperature, .top_k' e/generation_config.json)" = $'[274,272,7]\n0.6\n20' ]
}

@test "a template that a file hides among the tokenizer's keys is not written beside its own" {
    cp -r "$TOP/tests/vectors/tiny-hf" hf
    jq -c '. + {chat_templatX: "evil", keep: 1}' hf/tokenizer_config.json >t && mv t hf/tokenizer_config.json
    "$APR_BIN/st2apr" -q hf -o m.apr
    python3 - <<'PY'
import struct, zlib
b = open("m.apr", "rb").read()[:-4].replace(b"chat_templatX", b"chat_template")
open("m.apr", "wb").write(b + struct.pack("<I", zlib.crc32(b)))
PY
    "$x" -q m.apr -o out
    [ "$(grep -o '"chat_template"' out/tokenizer_config.json | wc -l)" = 1 ]
    [ "$(jq -c '[.keep, (.chat_template | contains("im_start"))]' out/tokenizer_config.json)" = '[1,true]' ]
}

@test "a folder comes back: its weights byte for byte, its tokenizer, template and configuration" {
    run --separate-stderr -0 "$x" "$f/m.apr" -o d
    [ -z "$output$stderr" ]
    [ "$(ls d)" = $'config.json\ngeneration_config.json\nmodel.safetensors\ntokenizer.json\ntokenizer_config.json' ]
    [ "$(jq -r .sha256 d.meta.json)" = "$(sha256sum <d/model.safetensors | cut -d' ' -f1)" ]
    [ "$(jq .bytes d.meta.json)" = "$(stat -c %s d/model.safetensors)" ]
    "$APR_BIN/st2apr" d -o back.apr
    same_apr "$f/m.apr" back.apr
    same_ids "$f/m.apr" back.apr
    for k in hidden_size num_hidden_layers num_key_value_heads rms_norm_eps rope_theta tie_word_embeddings vocab_size architectures torch_dtype; do
        [ "$(jq -c ".$k" d/config.json)" = "$(jq -c ".$k" "$TOP/tests/vectors/tiny-hf/config.json")" ] || { echo "$k"; return 1; }
    done
    "$x" "$f/m.apr" -o again/
    diff -r d again
    cmp <(jq .sha256 d.meta.json) <(jq .sha256 again.meta.json)
}

@test "the tokenizer is the folder's: vocabulary, merges, added tokens, steps" {
    "$x" "$f/m.apr" -o d
    h="$TOP/tests/vectors/tiny-hf/tokenizer.json"
    diff <(jq -S .model.vocab d/tokenizer.json) <(jq -S .model.vocab "$h")
    diff <(jq -c '.model.merges[] | if type == "array" then join(" ") else . end' d/tokenizer.json) \
        <(jq -c '.model.merges[] | if type == "array" then join(" ") else . end' "$h")
    diff <(jq -c '.added_tokens[] | [.id, .content, .special]' d/tokenizer.json) <(jq -c '.added_tokens[] | [.id, .content, .special]' "$h")
    diff <(jq -c '.pre_tokenizer.pretokenizers[0].pattern' d/tokenizer.json) <(jq -c '.pre_tokenizer.pretokenizers[0].pattern' "$h")
    [ "$(jq -r .eos_token d/tokenizer_config.json)" = "<|im_end|>" ]
    [ "$(jq .chat_template d/tokenizer_config.json)" = "$(jq .chat_template "$TOP/tests/vectors/tiny-hf/tokenizer_config.json")" ]
}

@test "the built-in model's folder: the published weights, byte for byte" {
    d="$APR_SHARED/models/tiny-coder-29m/hf"
    [ -e "$d" ] || skip "no $d"
    "$APR_BIN/st2apr" "$d" -o a.apr
    "$x" a.apr -o d
    cmp d/model.safetensors "$d/model.safetensors"
    "$APR_BIN/st2apr" d -o back.apr
    same_apr a.apr back.apr
    same_ids a.apr back.apr
    jq -e --slurpfile d "$d/tokenizer.json" '.model.vocab == $d[0].model.vocab and .added_tokens == $d[0].added_tokens' d/tokenizer.json
}

@test "quantized weights: BF16, or the type asked for; vectors are never narrowed" {
    types() { # DIR: the dtypes of a matrix and of a vector
        local n
        n=$(od -An -tu8 -N8 "$1/model.safetensors" | tr -d ' ')
        tail -c +9 "$1/model.safetensors" | head -c "$n" | jq -r '.["model.layers.0.mlp.up_proj.weight"].dtype + " " + .["model.norm.weight"].dtype'
    }
    "$x" "$f/q8.apr" -o d
    [ "$(types d)" = "BF16 F32" ]
    [ "$(jq -r .torch_dtype d/config.json)" = bfloat16 ]
    for t in f32 f16 bf16; do
        "$x" "$f/q8.apr" --dtype $t -o d-$t
        [ "$(types d-$t)" = "${t^^} F32" ]
    done
    cmp d/model.safetensors d-bf16/model.safetensors
    # F32 holds the blocks' values exactly
    "$APR_BIN/st2apr" d-f32 -o a.apr
    "$APR_BIN/apr-quant" "$f/q8.apr" --type f32 -o b.apr
    cmp <(meta a.apr | jq -S .tensor_xxh64) <(meta b.apr | jq -S .tensor_xxh64)
    "$x" "$f/m.apr" --dtype f32 -o e
    [ "$(types e)" = "F32 F32" ]
    "$x" "$f/m.apr" --dtype f16 -o g
    [ "$(types g)" = "F16 BF16" ]
}

@test "llama by way of GGUF: its rows come back to where they were" {
    python3 "$TOP/tests/vectors/mk_random.py" hf llama "$TOP/tests/vectors/tokenizer/llama3.json" 128256 BF16 bos_token_id=128000 \
        'eos_token_id=[128001,128009]' 'rope_scaling={"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64}'
    "$APR_BIN/st2apr" hf -o a.apr
    "$APR_BIN/apr2gguf" a.apr -o a.gguf
    "$APR_BIN/gguf2apr" a.gguf -o b.apr
    for m in a b; do
        "$x" $m.apr -o $m
        "$APR_BIN/st2apr" $m -o $m.back.apr
        same_ids a.apr $m.back.apr
    done
    k='[.rope_type, .rope_scaling, .stop_token_ids, .bos_token_id, .add_bos_token]'
    for m in a a.back b.back; do
        [ "$(meta $m.apr | jq -c "$k")" = '[2,{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64},[128001,128009],128000,true]' ]
    done
    mats() { meta "$1" | jq -c '.tensor_xxh64 | with_entries(select(.key | test("proj|embed|head")))'; }
    [ "$(mats a.apr)" = "$(mats b.back.apr)" ]
    [ "$(mats a.apr)" != "$(mats b.apr)" ]
    [ "$(meta a.apr | jq -c '.tensor_xxh64 | del(.["tokenizer.tables"])')" = "$(meta a.back.apr | jq -c '.tensor_xxh64 | del(.["tokenizer.tables"])')" ]
    # ids with gaps between them: Hugging Face's library would number added tokens anew unless they are in the vocabulary
    [ "$(jq '.model.vocab["<|begin_of_text|>"]' a/tokenizer.json)" = 128000 ]
}

@test "qwen3, linear scaling; no tokenizer" {
    python3 "$TOP/tests/vectors/mk_random.py" hf qwen3 "$TOP/tests/vectors/tokenizer/qwen3.json" 151936 F32 eos_token_id=151645 \
        tie_word_embeddings=true 'rope_scaling={"type":"linear","factor":2.5}'
    "$APR_BIN/st2apr" hf -o a.apr
    "$x" a.apr -o d
    "$APR_BIN/st2apr" d -o b.apr
    same_ids a.apr b.apr
    # two files that the source did not have
    k='del(.tensor_xxh64, .receipt, .provenance, .source, .total_size, .generation_config, .tokenizer_config)'
    diff <(meta a.apr | jq -S "$k") <(meta b.apr | jq -S "$k")
    "$APR_BIN/st2apr" hf --no-tokenizer -o n.apr
    run --separate-stderr -0 "$x" n.apr -o n
    [[ "$stderr" == "apr2st: n.apr: no tokenizer: "* ]]
    "$APR_BIN/st2apr" n --no-tokenizer -o m.apr
    diff <(meta n.apr | jq -S "del(.tensor_xxh64) | $k") <(meta m.apr | jq -S "del(.tensor_xxh64) | $k")
    diff <(meta n.apr | jq -S .tensor_xxh64) <(meta m.apr | jq -S .tensor_xxh64)
}

@test "several files of weights: their index, digests and receipt, and the way back" {
    "$x" "$f/m.apr" -o d --split-max-tensors 10
    [ "$(ls d)" = $'config.json\ngeneration_config.json\nmodel-00001-of-00003.safetensors\nmodel-00002-of-00003.safetensors\nmodel-00003-of-00003.safetensors\nmodel.safetensors.index.json\ntokenizer.json\ntokenizer_config.json' ]
    i=d/model.safetensors.index.json
    (cd d && jq -r '.metadata.sha256 | to_entries[] | .value + "  " + .key' model.safetensors.index.json | sha256sum --check --quiet)
    [ "$(jq -r .sha256 d.meta.json)" = "$(sha256sum <$i | cut -d' ' -f1)" ]
    [ "$(jq .bytes d.meta.json)" = "$(cat d/*.safetensors | wc -c)" ]
    [ "$(jq -c '[.receipt.verified, .receipt.promise, .receipt.max_diff]' d.meta.json)" = '[true,"equal",0]' ]
    [ "$("$APR_BIN/apr-info" --json d | jq -c '[.receipt.verified, .tensor_bytes]')" = "[true,$(jq .metadata.total_size $i)]" ]
    "$x" "$f/m.apr" -o one
    [ "$(jq -r '.weight_map | keys[]' $i)" = "$("$APR_BIN/apr-info" --json one | jq -r '.tensors[].name')" ]
    "$APR_BIN/st2apr" d -o back.apr
    same_apr "$f/m.apr" back.apr
    cmp <(jq -S . one/config.json) <(jq -S . d/config.json)
    # by size: no file beyond it but that of one tensor
    "$x" "$f/m.apr" -o k --split-max-size 9K
    for s in k/*.safetensors; do
        "$APR_BIN/apr-info" --json "$s" | jq -e '.tensor_bytes <= 9000 or (.tensors | length == 1)'
    done
    "$APR_BIN/apr-diff" k one
    # enough for all: one file, and those of before are gone
    "$x" "$f/m.apr" -o d --split-max-size 1G
    diff -r d one
    run --separate-stderr -64 "$x" "$f/m.apr" -o d --split-max-size 5MB
    # a folder that holds more than we write is nobody's to replace
    touch k/model-00001-of-00002.bin
    run --separate-stderr -73 "$x" "$f/m.apr" -o k
}

@test "golden cases: every tensor and number comes back" {
    [ -e "$APR_SHARED/golden/golden.tar.xz" ] || skip "no $APR_SHARED/golden"
    tar -xf "$APR_SHARED/golden/golden.tar.xz" golden/{qwen2-untied,qwen3-headdim,llama3-scaled}/{model.safetensors,{,generation_}config.json}
    for c in qwen2-untied qwen3-headdim llama3-scaled; do
        "$APR_BIN/st2apr" golden/$c --no-tokenizer -o a.apr
        "$x" -q a.apr -o $c
        "$APR_BIN/st2apr" $c --no-tokenizer -o b.apr
        diff <(meta a.apr | jq -S 'del(.provenance, .source, .name, .hf_architecture)') <(meta b.apr | jq -S 'del(.provenance, .source, .name, .hf_architecture)')
        cmp golden/$c/model.safetensors $c/model.safetensors
    done
}

@test "damaged input and values that do not fit: 65, no folder" {
    head -c 9000 "$f/m.apr" >cut.apr
    run --separate-stderr -65 "$x" cut.apr -o d
    [[ "$stderr" == "apr2st: cut.apr: "* ]]
    run --separate-stderr -66 "$x" nowhere.apr -o d
    cp -r "$TOP/tests/vectors/tiny-hf" hf
    printf '\200\107' | dd of=hf/model.safetensors bs=1 seek=$(($(stat -c %s hf/model.safetensors) - 200)) conv=notrunc status=none # 65536
    "$APR_BIN/st2apr" hf -o big.apr
    run --separate-stderr "$x" big.apr --dtype f16 -o d
    [ "$status" = 65 ] && [[ "$stderr" == "apr2st: big.apr: tensor "* ]]
    [ "$(ls -d d* 2>/dev/null)" = "" ]
}

@test "usage is 64; a folder that cannot be made 73, a full disk 74; nobody's files are lost" {
    run -64 "$x"
    run -64 "$x" "$f/m.apr"
    run -64 "$x" "$f/m.apr" "$f/m.apr" -o d
    run -64 "$x" "$f/m.apr" --dtype q8_0 -o d
    run -73 "$x" "$f/m.apr" -o nowhere/d
    touch file && run -73 "$x" "$f/m.apr" -o file
    mkdir d && touch d/thesis.tex
    run --separate-stderr -73 "$x" "$f/m.apr" -o d
    [[ "$stderr" == *"holds thesis.tex"* ]]
    rm d/thesis.tex
    "$x" "$f/m.apr" -o d
    "$x" "$f/q8.apr" -o d # replaced in one go
    mkdir small && mount -t tmpfs -o size=64k none small 2>/dev/null || skip "no mount: a full disk is not tried"
    run -74 "$x" "$f/tiny.apr" -o small/d
    [ -z "$(ls -A small)" ]
    umount small
}

@test "killed in the middle: the old folder stays, the next run cleans up" {
    "$x" "$f/m.apr" -o d
    cp -r d old
    run -153 bash -c "ulimit -f 5000; exec '$x' '$f/tiny.apr' -o d"
    diff -r d old
    "$x" "$f/tiny.apr" -o d
    [ "$(ls -d d*)" = $'d\nd.meta.json' ]
}

teardown() {
    ! mountpoint -q small || umount small
}
