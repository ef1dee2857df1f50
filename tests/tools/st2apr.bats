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

@test "a merge too long for aprender's list: the list is left out, not cut" {
    edit tokenizer.json '("a" * 600) as $a | ("b" * 600) as $b | .model.vocab += {($a): 275, ($b): 276, ($a + $b): 277} | .model.merges += [$a + " " + $b]'
    "$x" -q tiny-hf -o a.apr
    [ "$(meta a.apr | jq -c '[.["tokenizer.merges"], .["tokenizer.vocabulary"]]')" = '[null,null]' ]
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
    "$x" --no-verify tiny-hf -o whole.apr --type f32
    "$x" --no-verify tiny-hf -o - --type f32 >piped.apr
    cmp whole.apr piped.apr
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

@test "shards: whatever the index says wrongly is named" {
    cp -r tiny-hf s
    python3 - s <<'PY'
import json, struct, sys
raw = open("tiny-hf/model.safetensors", "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
head, data = json.loads(raw[8:8 + n]), raw[8 + n:]
head.pop("__metadata__", None)
names = sorted(head)
where = {}
for i in range(3):
    at, h, d = 0, {}, b""
    for k in names[i::3]:
        a, b = head[k]["data_offsets"]
        h[k] = dict(head[k], data_offsets=[at, at + b - a])
        at += b - a
        d += data[a:b]
        where[k] = "m-%d.safetensors" % i
    text = json.dumps(h).encode()
    open("s/m-%d.safetensors" % i, "wb").write(struct.pack("<Q", len(text)) + text + d)
json.dump({"metadata": {}, "weight_map": where}, open("s/model.safetensors.index.json", "w"))
PY
    rm s/model.safetensors
    "$x" tiny-hf -o a.apr
    "$x" s -o b.apr
    [ "$(meta a.apr | jq -c .tensor_xxh64)" = "$(meta b.apr | jq -c .tensor_xxh64)" ]
    [ "$(meta b.apr | jq '.provenance[-1].inputs | length')" = 3 ]
    cp -r s keep
    try() { # CODE FILTER WORDS
        rm -rf s && cp -r keep s
        jq "$2" keep/model.safetensors.index.json >s/model.safetensors.index.json
        run --separate-stderr -"$1" "$x" s -o m.apr
        [[ $stderr == "st2apr: s/"*"$3"* ]] || { echo "$2: $stderr"; return 1; }
        [ ! -e m.apr ]
    }
    n0=$(jq -r '.weight_map | to_entries | map(select(.value == "m-0.safetensors"))[0].key' s/model.safetensors.index.json)
    n1=$(jq -r '.weight_map | to_entries | map(select(.value == "m-1.safetensors"))[0].key' s/model.safetensors.index.json)
    try 65 ".weight_map[\"$n0\"] = \"m-1.safetensors\" | .weight_map[\"$n1\"] = \"m-0.safetensors\"" "in another shard than m-"
    try 65 ".weight_map[\"$n0\"] = \"m-1.safetensors\"" "the index names "
    try 65 "del(.weight_map[\"$n0\"])" "the index names "
    try 65 ".weight_map.extra = .weight_map[\"$n0\"] | del(.weight_map[\"$n0\"])" "tensor extra: not in m-0.safetensors"
    try 66 '.weight_map["model.norm.weight"] = "m-9.safetensors"' "model.safetensors.index.json: names a shard that cannot be opened: s/m-9.safetensors"
    for f in ../s/m-1.safetensors /etc/passwd .. . "" sub/m; do
        try 65 ".weight_map[\"model.norm.weight\"] = \"$f\"" "plain file name"
    done
    try 65 '.weight_map = []' weight_map
    # the same tensor in a second shard
    rm -rf s && cp -r keep s
    cp s/m-0.safetensors s/m-1.safetensors
    run --separate-stderr -65 "$x" s -o m.apr
    [[ $stderr == *"is there twice"* || $stderr == *"the index names"* ]]
    # links out of the folder; but those of the hub's cache are followed
    rm -rf s && cp -r keep s
    mv s/m-1.safetensors elsewhere && ln -s ../elsewhere s/m-1.safetensors
    run --separate-stderr -65 "$x" s -o m.apr
    [[ $stderr == *"s/m-1.safetensors: a symbolic link to ../elsewhere: refused"* ]]
    repo=hub/models--Some--Model snap=hub/models--Some--Model/snapshots/0123456789abcdef0123456789abcdef01234567
    mkdir -p $repo/blobs $repo/snapshots && mv s $snap
    sum=$(sha256sum <elsewhere | cut -d' ' -f1)
    mv elsewhere $repo/blobs/$sum && ln -sf ../../blobs/$sum $snap/m-1.safetensors
    "$x" $snap -o c.apr
    [ "$(meta a.apr | jq -c .tensor_xxh64)" = "$(meta c.apr | jq -c .tensor_xxh64)" ]
    [ "$(meta c.apr | jq -r .source)" = hf://Some/Model@0123456789abcdef0123456789abcdef01234567 ]
}

@test "FP8: scales of a tensor, of rows, of blocks; what is missing or misshapen is named" {
    for k in tensor row block; do
        python3 "$TOP/tests/vectors/mk_fp8.py" tiny-hf $k $k
        "$x" $k/fp8 -o a.apr
        "$x" $k/bf16 -o b.apr
        "$x" $k/fp8 -o c.apr --type f32
        "$x" $k/f32 -o d.apr --type f32
        "$x" $k/fp8 -o e.apr --quantize q4k
        "$x" $k/f32 -o f.apr --quantize q4_k_m
        for p in "a b" "c d" "e f"; do
            set -- $p
            cmp <(meta "$1.apr" | jq -c '.tensor_xxh64, .tensor_types') <(meta "$2.apr" | jq -c '.tensor_xxh64, .tensor_types')
        done
    done
    [ "$(meta a.apr | jq -r '.tensor_types["model.layers.0.mlp.up_proj.weight"]')" = BF16 ]
    change() { # PYTHON ON h, WORDS
        rm -rf t && cp -r block/fp8 t
        python3 - "$1" <<'PY'
import json, struct, sys
raw = open("t/model.safetensors", "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
h, data = json.loads(raw[8:8 + n]), bytearray(raw[8 + n:])
w = "model.layers.1.mlp.up_proj.weight"
exec(sys.argv[1])
text = json.dumps(h).encode()
open("t/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)
PY
        run --separate-stderr -65 "$x" t -o m.apr
        [[ $stderr == "st2apr: t"*"$2"* ]] || { echo "$1: $stderr"; return 1; }
        [ ! -e m.apr ]
    }
    change 'h["other"] = h.pop(w + "_scale_inv")' "up_proj.weight: FP8 without its scales: expected model.layers.1.mlp.up_proj.weight_scale_inv"
    change 'h[w + "_scale_inv"]["shape"].reverse()' "up_proj.weight_scale_inv: shape (2, 4) does not fit (64, 32)"
    change 'h[w + "_scale_inv"]["dtype"] = "I32"' "scales of type I32"
    change 'a = h[w + "_scale_inv"]["data_offsets"][0]; data[a:a + 4] = b"\0\0\xc0\x7f"' "NaN or infinity"
    change 'data[h[w]["data_offsets"][0] + 5] = 255' "up_proj.weight: NaN at element 5"
    change 'h[w]["dtype"] = "I8"' "type I8 is not supported"
    cp -r block/fp8 u && cp tiny-hf/config.json u
    run --separate-stderr -65 "$x" u -o m.apr
    [[ $stderr == *"FP8, and config.json has no quantization_config"* ]]
    for q in '{quant_method: "gptq"}' '{quant_method: "fp8", fmt: "e5m2"}' '{quant_method: "compressed-tensors", format: "pack-quantized"}'; do
        jq ".quantization_config = $q" tiny-hf/config.json >u/config.json
        run --separate-stderr -65 "$x" u -o m.apr
        [[ $stderr == *quantization_config* ]]
    done
    jq '.quantization_config.weight_block_size = [0, 4]' block/fp8/config.json >u/config.json
    run --separate-stderr -65 "$x" u -o m.apr
    [[ $stderr == *weight_block_size* ]]
}

@test "--quantize gives what apr-quant gives, on any number of threads" {
    "$x" tiny-hf -o a.apr
    for t in q4k q8_0 q5_k_m int8 f16; do
        o=$t
        case $t in q4k) o=q4_k_m ;; int8) o=q8_0 ;; esac
        "$x" tiny-hf -o b.apr --quantize $t --threads 1
        "$x" tiny-hf -o c.apr --quantize $t --threads 3
        "$APR_BIN/apr-quant" a.apr --type $o -o q.apr
        cmp b.apr c.apr
        cmp <(meta b.apr | jq -c '.tensor_xxh64, .tensor_types, .quantization') <(meta q.apr | jq -c '.tensor_xxh64, .tensor_types, .quantization')
    done
    "$APR_BIN/apr-check" b.apr
    run --separate-stderr -64 "$x" tiny-hf -o m.apr --quantize nonsense
    [[ $stderr == *"--quantize: expected one of"* ]]
    run -64 "$x" tiny-hf -o m.apr --quantize q8_0 --type f16
}

@test "the other files come along" {
    edit generation_config.json '.temperature = 0.7 | .top_p = 0.8'
    edit tokenizer_config.json '.model_max_length = 77'
    "$x" tiny-hf -o a.apr
    [ "$(meta a.apr | jq -c '[.generation_config.temperature, .generation_config.top_p, .tokenizer_config.model_max_length, .tokenizer_config.chat_template]')" = '[0.7,0.8,77,null]' ]
    meta a.apr | jq -e '.chat_template | length > 0'
    edit tokenizer_config.json '.junk = ("x" * 300000)'
    run --separate-stderr -65 "$x" tiny-hf -o m.apr
    [[ $stderr == *"tokenizer_config.json: more than"* ]]
}

@test "--enforce-provenance: a hub's bytes, or a warning that nobody knows" {
    run --separate-stderr -0 "$x" tiny-hf -o a.apr --enforce-provenance
    [[ $stderr == *"nothing tells where it came from"* ]]
    c=0123456789abcdef0123456789abcdef01234567
    record() { # REPOSITORY
        (cd tiny-hf && for f in *.json *.safetensors; do jq -cn --arg p "$f" --arg o "$(git hash-object "$f")" --argjson n "$(stat -c %s "$f")" '{path: $p, bytes: $n, oid: $o}'; done) |
            jq -cs --arg s "hf://$1" --arg c $c '{schema: "pull/1", source: $s, commit: $c, files: .}' >r && mv r tiny-hf/.hub.json
    }
    record Some/Model@main:x
    run --separate-stderr -0 "$x" tiny-hf -o a.apr --enforce-provenance
    [ -z "$stderr" ]
    [ "$(meta a.apr | jq -r .source)" = hf://Some/Model@$c ]
    edit config.json '.max_position_embeddings = 64'
    "$x" tiny-hf -o b.apr
    run --separate-stderr -65 "$x" tiny-hf -o m.apr --enforce-provenance
    [[ $stderr == *"tiny-hf/config.json: not the bytes of hf://Some/Model@$c"* ]]
    record Some/Model-GGUF
    run --separate-stderr -65 "$x" tiny-hf -o m.apr --enforce-provenance
    [[ $stderr == *"of conversions"* ]]
    echo '{"schema":"pull/1","commit":"x"}' >tiny-hf/.hub.json
    run -65 "$x" tiny-hf -o m.apr
    jq -n --arg c $c '{source: "hf://a/b", commit: $c, files: [{path: "../x", oid: "45b983be36b73c0788dc9cbcb76cbb80fc7bb057"}]}' >tiny-hf/.hub.json
    run -65 "$x" tiny-hf -o m.apr
    [ ! -e m.apr ]
}

@test "a name on the hub is looked up in the cache" {
    export HF_HOME=$PWD/home HF_ENDPOINT=http://127.0.0.1:9
    unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE
    run --separate-stderr -66 "$x" hf://Some/Model -o m.apr
    [[ $stderr == *"fetch it with apr-pull first"* ]]
    snap=home/hub/models--Some--Model/snapshots/0123456789abcdef0123456789abcdef01234567
    mkdir -p home/hub/models--Some--Model/refs ${snap%/*} && mv tiny-hf $snap
    printf 0123456789abcdef0123456789abcdef01234567 >home/hub/models--Some--Model/refs/main
    "$x" hf://Some/Model -o a.apr
    "$x" hf://Some/Model@0123456789abcdef0123456789abcdef01234567 -o b.apr
    cmp a.apr b.apr
    run -64 "$x" hf://../Model -o m.apr
}

@test "memory: one tensor, not the model" {
    ! ldd "$x" | grep -q asan || skip "a sanitizer has memory of its own"
    mkdir big && cp tiny-hf/*.json big
    python3 - <<'PY'
import json, struct
c = json.load(open("big/config.json"))
c.update(hidden_size=512, intermediate_size=8192, num_hidden_layers=12, num_attention_heads=8, num_key_value_heads=2)
json.dump(c, open("big/config.json", "w"))
h, at, E, F = {}, 0, 512, 8192
def add(name, *shape):
    global at
    n = 2
    for d in shape:
        n *= d
    h[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + n]}
    at += n
add("model.embed_tokens.weight", 288, E)
add("model.norm.weight", E)
for l in range(12):
    p = "model.layers.%d." % l
    for n, s in (("input_layernorm.weight", (E,)), ("post_attention_layernorm.weight", (E,)), ("self_attn.q_proj.weight", (E, E)),
                 ("self_attn.k_proj.weight", (128, E)), ("self_attn.v_proj.weight", (128, E)), ("self_attn.o_proj.weight", (E, E)),
                 ("self_attn.q_proj.bias", (E,)), ("self_attn.k_proj.bias", (128,)), ("self_attn.v_proj.bias", (128,)),
                 ("mlp.gate_proj.weight", (F, E)), ("mlp.up_proj.weight", (F, E)), ("mlp.down_proj.weight", (E, F))):
        add(p + n, *s)
text = json.dumps(h).encode()
with open("big/model.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    f.truncate(8 + len(text) + at)
PY
    peak() { python3 -c 'import resource, subprocess, sys; subprocess.check_call(sys.argv[1:]); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$@"; }
    for o in "" "--quantize q4k" "--type f32"; do
        kib=$(peak "$x" big -o m.apr --no-verify $o)
        # what is written is compared with one layer in memory: 26 MB, 52 in F32; a model up to 128 MiB, here that of
        # q4k, stays whole
        more=$(peak "$x" big -o m.apr $o)
        echo "$o: $kib and $more KiB of $(($(stat -c %s big/model.safetensors) / 1024))"
        # the file is 315 MB; a tensor is 8 MB, and 16 in F32
        [ "$kib" -lt 80000 ] && [ "$more" -lt 160000 ]
        [ "$(jq -c '[.receipt | .verified, .greedy]' m.apr.meta.json)" = '[true,3]' ]
    done
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
