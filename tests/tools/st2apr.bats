#!/usr/bin/env bats
# st2apr - a Hugging Face folder in, .apr out
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/st2apr"
    cp -r "$TOP/tests/vectors/tiny-hf" .
}

meta() {
    local n
    n=$(od -An -tu4 -j20 -N4 "$1" | tr -d ' ')
    tail -c +65 "$1" | head -c "$n"
}

edit() { # FILE FILTER
    jq "$2" "tiny-hf/$1" >e.json && mv e.json "tiny-hf/$1"
}

@test "a folder, with or without a slash, or its file" {
    run --separate-stderr -0 "$x" tiny-hf -o a.apr
    [ -z "$output$stderr" ]
    "$x" tiny-hf/ -o b.apr
    cmp a.apr b.apr
    "$x" tiny-hf/model.safetensors -o c.apr
    cmp <(meta a.apr | jq 'del(.source)') <(meta c.apr | jq 'del(.source)')
    [ "$(meta a.apr | jq -c '[.architecture, .hf_architecture, .stop_token_ids, .chat_format, .original_format, .tie_word_embeddings]')" = '["qwen2","Qwen2ForCausalLM",[274,272],"chatml","safetensors",true]' ]
    [ "$(meta a.apr | jq -r '.tensor_types["model.norm.weight"]')" = BF16 ]
}

@test "the same tokenizer and template as the GGUF of the same model" {
    "$x" tiny-hf -o a.apr
    "$APR_BIN/gguf2apr" "$TOP/tests/vectors/tiny.gguf" -o g.apr
    for k in .chat_template .stop_token_ids '.["tokenizer.merges"]' '.["tokenizer.vocabulary"][0:275]'; do
        cmp <(meta a.apr | jq -c "$k") <(meta g.apr | jq -c "$k")
    done
}

@test "--type: matrices in the type asked for, norms never narrowed" {
    for t in f32 f16 bf16; do
        "$x" tiny-hf -o "$t.apr" --type "$t"
        [ "$(meta "$t.apr" | jq -r '.tensor_types["model.embed_tokens.weight"]')" = "${t^^}" ]
    done
    [ "$(meta f16.apr | jq -r '.tensor_types["model.norm.weight"]')" = BF16 ]
    [ "$(meta f32.apr | jq -r '.tensor_types["model.norm.weight"]')" = F32 ]
    "$x" tiny-hf -o keep.apr
    [ "$(meta keep.apr | jq -c .tensor_xxh64)" = "$(meta bf16.apr | jq -c .tensor_xxh64)" ]
    "$x" tiny-hf -o - --type f32 >piped.apr
    cmp f32.apr piped.apr
    run -64 "$x" tiny-hf -o m.apr --type q8_0
}

@test "shards" {
    "$x" tiny-hf -o a.apr
    mkdir s && cp tiny-hf/*.json s/ && cp tiny-hf/model.safetensors s/m-1.safetensors
    n=$(od -An -tu8 -N8 tiny-hf/model.safetensors | tr -d ' ')
    tail -c +9 tiny-hf/model.safetensors | head -c "$n" | jq '{weight_map: (del(.__metadata__) | map_values("m-1.safetensors"))}' >s/model.safetensors.index.json
    "$x" s -o b.apr
    [ "$(meta a.apr | jq -c .tensor_xxh64)" = "$(meta b.apr | jq -c .tensor_xxh64)" ]
    jq '.weight_map["model.norm.weight"] = "../m-1.safetensors"' s/model.safetensors.index.json >i && mv i s/model.safetensors.index.json
    run --separate-stderr -65 "$x" s -o c.apr
    [[ "$stderr" == *"plain file name"* ]]
}

@test "RoPE settings in both forms" {
    "$x" tiny-hf -o a.apr
    edit config.json 'del(.rope_theta) | .rope_parameters = {rope_theta: 10000.0, rope_type: "default"}'
    "$x" tiny-hf -o b.apr
    cmp a.apr b.apr
}

@test "what is missing is 66 or 65, and named" {
    rm tiny-hf/tokenizer.json
    run --separate-stderr -66 "$x" tiny-hf -o m.apr
    [[ "$stderr" == *tokenizer.json* ]]
    "$x" tiny-hf -o m.apr --no-tokenizer
    rm m.apr m.apr.meta.json tiny-hf/config.json
    run --separate-stderr -66 "$x" tiny-hf -o m.apr
    [[ "$stderr" == *config.json* ]]
    run -66 "$x" nowhere -o m.apr
    mkdir empty
    run --separate-stderr -66 "$x" empty -o m.apr
    [[ "$stderr" == *model.safetensors* ]]
    run -64 "$x" tiny-hf
    [ ! -e m.apr ]
}

@test "what is not supported is refused by its key" {
    cp -r tiny-hf keep
    try() { # FILTER WORDS
        rm -r tiny-hf && cp -r keep tiny-hf
        edit config.json "$1"
        run --separate-stderr -65 "$x" tiny-hf -o m.apr
        [[ "$stderr" == "st2apr: tiny-hf"*"$2"* ]] || { echo "$1: $stderr"; return 1; }
        [ ! -e m.apr ]
    }
    try '.model_type = "gemma3"' gemma3
    try '.hidden_act = "gelu"' gelu
    try '.rope_scaling = {type: "dynamic", factor: 4}' dynamic
    try '.layer_types = ["full_attention", "chunked_attention"]' chunked_attention
    try '.num_experts = 8' num_experts
    try '.final_logit_softcapping = 30' final_logit_softcapping
    try '.tie_word_embeddings = false' "lm_head.weight: missing"
    try '.intermediate_size = 48' "shape: expected (48, 32), found (64, 32)"
    try '.num_hidden_layers = 3' "model.layers.2"
    try '.num_hidden_layers = 1' "unknown to architecture qwen2"
    try '.vocab_size = 276' "model.embed_tokens.weight: shape: expected (276, 32), found (288, 32)"
    try '.eos_token_id = 999' 999
}

@test "truncated and damaged weights: 65" {
    size=$(stat -c %s tiny-hf/model.safetensors)
    cp tiny-hf/model.safetensors whole
    for n in 0 7 8 100 3000 $((size - 1)); do
        head -c "$n" whole >tiny-hf/model.safetensors
        run --separate-stderr -65 "$x" tiny-hf -o m.apr
        [[ "$stderr" == "st2apr: tiny-hf/model.safetensors: "* ]] || { echo "$n: $stderr"; return 1; }
    done
    { head -c $((size - 2)) whole; printf '\200\177'; } >tiny-hf/model.safetensors
    run --separate-stderr -65 "$x" tiny-hf -o m.apr
    [[ "$stderr" == *"NaN or infinity at element 31"* ]]
    [ ! -e m.apr ]
}

@test "output that cannot be made is 73, a full disk 74" {
    run -73 "$x" tiny-hf -o nowhere/m.apr
    run -74 "$x" tiny-hf -o /dev/full
    run -74 bash -c "'$x' tiny-hf -o - --type f32 >/dev/full"
}
