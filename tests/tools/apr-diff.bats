#!/usr/bin/env bats
# apr-diff - formats that hold the same, types that do not, damage, logits, every exit code
bats_require_minimum_version 1.5.0

setup_file() {
    export v="$TOP/tests/vectors" f="$BATS_FILE_TMPDIR"
    "$APR_BIN/st2apr" "$v/tiny-hf" --no-verify -o "$f/hf.apr"
    "$APR_BIN/apr2gguf" "$f/hf.apr" --no-verify -o "$f/hf.gguf"
    "$APR_BIN/apr-quant" "$f/hf.apr" --type q4_0 --no-verify -o "$f/q4.apr"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-diff"
}

# the folder hf with its SafeTensors header changed by a sed script that keeps its length
change() {
    cp -r "$v/tiny-hf" hf
    chmod -R u+w hf
    sed "$1" "$v/tiny-hf/model.safetensors" >hf/model.safetensors
    [ "$(stat -c %s hf/model.safetensors)" = "$(stat -c %s "$v/tiny-hf/model.safetensors")" ]
}

@test "one model in three formats, either way round: 0" {
    for a in "$v/tiny-hf" "$f/hf.apr" "$f/hf.gguf" "$v/tiny-hf/model.safetensors"; do
        for b in "$v/tiny-hf" "$f/hf.apr" "$f/hf.gguf"; do
            run --separate-stderr -0 "$x" "$a" "$b"
            [[ "$output" == *"26 tensors: 26 equal; of all values max 0,"* ]] || { echo "$a $b: $output"; return 1; }
        done
    done
    # rows of q and k are permuted in llama's GGUF
    "$APR_BIN/st2apr" "$v/llama3-small" --no-tokenizer --no-verify -o l.apr
    "$APR_BIN/apr2gguf" -q l.apr --no-verify -o l.gguf
    run -0 "$x" "$v/llama3-small" l.gguf --all
    [[ "$output" == *"BF16 BF16"*"1.0000000  model.layers.0.self_attn.q_proj.weight"*"21 equal"* ]]
    run -0 "$x" l.gguf l.apr
}

@test "other types: numbers, limits, the worst first" {
    run --separate-stderr -1 "$x" "$v/tiny-hf" "$f/q4.apr" --json
    jq -e '.schema=="diff/1" and (.same|not) and .count.tensors==26 and .count.differs==15 and .count.equal==11
        and (.tensors|length)==26 and .differences==[] and .all.rel_rms>0.01 and .all.rel_rms<0.2' <<<"$output"
    jq -e '.tensors[] | select(.name=="model.layers.1.mlp.down_proj.weight") | .a.type=="BF16" and .b.type=="Q4_0"
        and .a.shape==[32,64] and .max>0 and .rms<.max and .cosine<1 and .cosine>0.98 and .state=="differs"' <<<"$output"
    run -0 "$x" "$v/tiny-hf" "$f/q4.apr" --rel-rms 0.2
    [[ "$output" == *"11 equal 15 within"* ]]
    run -0 "$x" "$v/tiny-hf" "$f/q4.apr" --threshold 1 --cosine 0.9 --rel-rms 0.2
    run -1 "$x" "$v/tiny-hf" "$f/q4.apr" --threshold 1 --cosine 0.9999
    run -1 "$x" "$v/tiny-hf" "$f/q4.apr" --threshold 1e-4
    run -0 "$x" "$v/tiny-hf" "$f/q4.apr" --filter 'layernorm.weight$|\.bias$'
    run -1 "$x" "$v/tiny-hf" "$f/q4.apr" --tensor layers.0.mlp --json
    jq -e '.count.tensors==3 and all(.tensors[]; .name|contains("layers.0.mlp"))' <<<"$output"
    run -1 "$x" "$v/tiny-hf" "$f/q4.apr" --limit 2 --json
    jq -e '(.tensors|length)==2 and .tensors[0].rel_rms>=.tensors[1].rel_rms and .count.tensors==26' <<<"$output"
    run -1 "$x" "$v/tiny-hf" "$f/q4.apr" -o out
    [ -z "$output" ] && grep -q '15 differs' out
}

@test "numbers, tokens, chat template, special tokens" {
    cp -r "$v/tiny-hf" hf
    chmod -R u+w hf
    jq '.rope_theta = 5000 | .max_position_embeddings = 64' hf/config.json >c && mv c hf/config.json
    run --separate-stderr -1 "$x" "$v/tiny-hf" hf
    [[ "$output" == *"max_position_embeddings: 128 | 64"*"rope_theta: 10000 | 5000"*"26 equal"* ]]
    run -0 "$x" "$v/tiny-hf" hf --weights
    cp "$v/tiny-hf/config.json" hf
    jq '(.added_tokens[] | select(.content=="<|im_end|>") | .content) = "<|im_stop|>"' hf/tokenizer.json >c && mv c hf/tokenizer.json
    run --separate-stderr -1 "$x" "$v/tiny-hf" hf
    [[ "$output" == *'token 2'*': "<|im_end|>" special | "<|im_stop|>" special'* ]] || { echo "$output"; return 1; }
    cp "$v/tiny-hf/tokenizer.json" hf
    jq '.model.merges |= .[:-3]' hf/tokenizer.json >c && mv c hf/tokenizer.json
    run --separate-stderr -1 "$x" "$v/tiny-hf" hf
    [[ "$output" == *"texts that have the same ids: "*" | "* ]]
    cp "$v/tiny-hf/tokenizer.json" hf
    for t in hf/chat_template.jinja hf/tokenizer_config.json; do
        [ ! -e $t ] || sed -i 's/im_start|>/im_stXrt|>/' $t
    done
    run --separate-stderr -1 "$x" "$v/tiny-hf" hf --json
    jq -e '[.differences[].what] | index("chat_template") != null and index("ids of a conversation") != null' <<<"$output"
}

@test "what is no whole model: its tensors, and why" {
    change 's/model.layers.0.mlp.up_proj.weight/model.layers.0.mlp.uq_proj.weight/'
    run --separate-stderr -1 "$x" "$v/tiny-hf" hf --json
    jq -e '.count["only a"]==1 and .count["only b"]==1 and .count.equal==25 and (.b.note|contains("up_proj.weight: missing"))
        and any(.tensors[]; .state=="only a" and .b==null and .name=="model.layers.0.mlp.up_proj.weight")' <<<"$output"
    run -1 "$x" "$f/hf.gguf" hf
    [[ "$output" == *"incomplete: "*"missing"*"25 equal 1 only a 1 only b"* ]]
    rm -rf hf
    change 's/"shape":\[64,32\]/"shape":[32,64]/; s/"shape": \[64, 32\]/"shape": [32, 64]/'
    run -1 "$x" "$v/tiny-hf" hf
    [[ "$output" == *"(64, 32)"*": shape (32, 64) in b"* ]]
    sed 's/qwen2/gwen2/g' "$f/hf.gguf" >g.gguf # an architecture that nobody knows: as the file names them
    run -1 "$x" "$f/hf.gguf" g.gguf
    [[ "$output" == *"incomplete: "*gwen2*"only a"*"only b"* ]]
    run -0 "$x" g.gguf g.gguf
    mkdir a b
    cp "$v/tiny-hf/model.safetensors" a # weights alone, no config.json
    cp "$v/tiny-hf/model.safetensors" b
    run -0 "$x" a b
    [[ "$output" == *"incomplete"*"26 equal"* ]]
    # a NaN in bf16: the last number of the file
    head -c -2 "$v/tiny-hf/model.safetensors" >b/model.safetensors
    printf '\300\177' >>b/model.safetensors
    run --separate-stderr -1 "$x" a b --threshold 100
    [[ "$output" == *": 1 values that are NaN or infinite in one only"* ]]
}

@test "logits: of itself 0, apr-ppl's figures, the same on any threads" {
    head -c 4000 "$TOP/lib/err.h" >t
    printf '{"prompt":"def add(a, b):\\n    return"}\n{"prompt":"import os"}\n{"prompt":""}\n' >p.jsonl
    run --separate-stderr -0 "$x" "$v/tiny-hf" "$f/hf.gguf" --prompts p.jsonl --text t --ctx 64 --json --kl 1e-6 --same-top 1
    jq -e '.logits.kl < 1e-9 and .logits.same_top == 1 and .logits.scored > 100' <<<"$output"
    run --separate-stderr -1 "$x" "$f/hf.apr" "$f/q4.apr" --text t --ctx 64 --json --threads 1
    "$APR_BIN/apr-ppl" "$f/hf.apr" t --ctx 64 --kl-divergence-base base >/dev/null
    "$APR_BIN/apr-ppl" "$f/q4.apr" --kl-divergence --kl-divergence-base base --json >k.json
    jq -e --slurpfile k k.json '.logits | .scored == $k[0].scored and .kl > 1e-4 and (.kl / $k[0].kl - 1 | fabs) < 1e-3
        and (.ppl / $k[0].ppl - 1 | fabs) < 1e-6 and (.same_top - $k[0].same_top | fabs) < 0.01' <<<"$output"
    [ "$("$x" "$f/hf.apr" "$f/q4.apr" --text t --ctx 64 --json --threads 2)" = "$output" ]
    run -1 "$x" "$f/hf.apr" "$f/q4.apr" --rel-rms 0.2 --text t --ctx 64 --kl 1e-5
    [[ "$output" == *"logits: "*" positions of "*" texts: KL divergence mean "*"; same first choice "* ]]
    run -0 "$x" "$f/hf.apr" "$f/q4.apr" --rel-rms 0.2 --text t --ctx 64 --kl 1
    # a prompt's positions do not depend on the prompts beside it
    head -1 p.jsonl >p1.jsonl
    sed -n 2p p.jsonl >p2.jsonl
    for p in p p1 p2; do
        "$x" "$f/hf.apr" "$f/q4.apr" --prompts $p.jsonl --json >$p.json || [ $? = 1 ]
    done
    jq -es '[.[].logits | .kl * .scored] | (.[0] / (.[1] + .[2]) - 1 | fabs) < 1e-12' p.json p1.json p2.json
}

@test "other ids are a difference, and left out" {
    cp -r "$v/tiny-hf" hf
    chmod -R u+w hf
    jq '.model.merges |= .[:-3]' hf/tokenizer.json >c && mv c hf/tokenizer.json
    printf '{"prompt":"x"}\n{"prompt":"the return of the other in function"}\n' >p.jsonl
    run --separate-stderr -1 "$x" "$v/tiny-hf" hf --prompts p.jsonl --json
    jq -e '.logits.texts == 1 and .logits.texts_with_other_ids == 1 and .logits.kl == 0' <<<"$output"
}

@test "exit codes" {
    run -64 "$x" "$f/hf.apr"
    run -64 "$x" a b c
    run -64 "$x" "$f/hf.apr" "$f/hf.apr" --filter '('
    run -64 "$x" "$f/hf.apr" "$f/hf.apr" --kl 1
    run -64 "$x" "$f/hf.apr" "$f/hf.apr" --prompts /dev/null --ctx 3
    run -64 "$x" "$f/hf.apr" "$f/hf.apr" --text "$TOP/lib/err.h" --ctx 4096 # more than the models' context
    run -66 "$x" "$f/hf.apr" none
    run -66 "$x" none "$f/hf.apr"
    run -66 "$x" "$f/hf.apr" "$f/hf.apr" --prompts none
    run -66 "$x" hf://no/thing "$f/hf.apr"
    head -c 20000 "$f/hf.apr" >cut.apr
    run --separate-stderr -65 "$x" "$f/hf.apr" cut.apr
    [[ "$stderr" == "apr-diff: cut.apr: "* ]]
    run -65 "$x" "$f/hf.apr" "$TOP/lib/err.h"
    run -65 "$x" "$f/hf.apr" "$f/hf.apr" --tensor nothing
    echo '{"text":1}' >bad.jsonl
    run --separate-stderr -65 "$x" "$f/hf.apr" "$f/hf.apr" --prompts bad.jsonl
    [[ "$stderr" == *'bad.jsonl:1: expected a "prompt"' ]]
    echo short >t
    run -65 "$x" "$f/hf.apr" "$f/hf.apr" --text t
    mkdir a
    cp "$v/tiny-hf/model.safetensors" a
    run -65 "$x" a "$f/hf.apr" --text t # no model
    run -73 "$x" "$f/hf.apr" "$f/hf.apr" -o no/such/folder
    run -74 bash -c "'$x' '$f/hf.apr' '$f/hf.apr' >/dev/full"
}
