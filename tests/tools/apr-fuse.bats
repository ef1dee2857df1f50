#!/usr/bin/env bats
# apr-fuse - an adapter into its base
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-fuse"
    "$APR_BIN/gguf2apr" "$TOP/tests/vectors/tiny.gguf" -o m.apr
    printf '{"instruction":"say %d","response":"yes"}\n' 1 2 3 4 5 6 7 8 >d.jsonl
    "$APR_BIN/apr-lora" -q m.apr --data d.jsonl -o a --rank 4 --lr 0.05 --epochs 4 --metrics log.jsonl
}
meta() {
    local n
    n=$(od -An -tu4 -j20 -N4 "$1" | tr -d ' ')
    tail -c +65 "$1" | head -c "$n"
}

@test "merged: a receipt, the base's types, everything carried on" {
    run --separate-stderr -0 "$x" m.apr --adapter a -o f.apr
    [[ "$output" == "f.apr: 14 tensors merged, rank 4, scale 8, type keep, max |delta| "* ]]
    [ -z "$stderr" ]
    meta m.apr >m.json
    meta f.apr >f.json
    cmp <(jq .tensor_types m.json) <(jq .tensor_types f.json)
    cmp <(jq '[.chat_format,.stop_token_ids,.["tokenizer.vocabulary"]]' m.json) <(jq '[.chat_format,.stop_token_ids,.["tokenizer.vocabulary"]]' f.json)
    [ "$(jq -r '.provenance[-1].tool' f.json)" = apr-fuse ]
    [ "$(jq -r .sha256 f.apr.meta.json)" = "$(sha256sum <f.apr | cut -d' ' -f1)" ]
    run -1 cmp -s m.apr f.apr
}

@test "the merged model has the loss that the adapter had" {
    "$x" m.apr --adapter a -o f.apr --type f32 >/dev/null
    "$APR_BIN/apr-lora" -q f.apr --data d.jsonl --val d.jsonl -o b --max-steps 1 --metrics f.jsonl
    "$APR_BIN/apr-lora" -q m.apr --data d.jsonl --val d.jsonl -o a2 --rank 4 --lr 0.05 --epochs 4 --metrics m.jsonl
    jq -se --slurpfile m m.jsonl '(.[0].loss - ($m | map(select(.event=="epoch")) | last.loss) | fabs) < 1e-4' f.jsonl
}

@test "another type; standard output" {
    "$x" m.apr --adapter a -o f.apr --type f16 >r.txt
    [ "$(meta f.apr | jq -r '.tensor_types["model.layers.0.self_attn.q_proj.weight"]')" = F16 ]
    "$x" --no-verify m.apr --adapter a -o f.apr --type f16
    "$x" --no-verify m.apr --adapter a -o - --type f16 >g.apr
    cmp f.apr g.apr
}

@test "usage" {
    run --separate-stderr -64 "$x" m.apr -o f.apr
    run --separate-stderr -64 "$x" m.apr --adapter a
    run --separate-stderr -64 "$x" --adapter a -o f.apr
    run --separate-stderr -64 "$x" m.apr --adapter a -o f.apr --type q3
}

@test "an adapter of another base is refused by its weights, unless that is meant" {
    "$APR_BIN/apr-quant" -q m.apr --requantize --type q5_0 -o other.apr
    run --separate-stderr -65 "$x" other.apr --adapter a -o f.apr
    [[ "$stderr" == *"a: trained on weights "*"those of other.apr are "* ]]
    [ ! -e f.apr ]
    "$x" -q other.apr --adapter a -o f.apr --other-base
}

@test "an adapter that does not fit, or says something we do not do" {
    cp -r a b
    jq '.r = 8' a/adapter_config.json >b/adapter_config.json
    run --separate-stderr -65 "$x" m.apr --adapter b -o f.apr
    [[ "$stderr" == *"rank 8"* ]]
    jq '.use_dora = true' a/adapter_config.json >b/adapter_config.json
    run --separate-stderr -65 "$x" m.apr --adapter b -o f.apr
    [[ "$stderr" == *"use_dora"* ]]
    cp a/adapter_config.json b
    sed 's/layers\.1\.self_attn\.q_proj/layers.9.self_attn.q_proj/g' a/adapter_model.safetensors >b/adapter_model.safetensors
    run --separate-stderr -65 "$x" m.apr --adapter b -o f.apr
    [[ "$stderr" == *"layers.9.self_attn.q_proj"* ]]
    head -c 2000 a/adapter_model.safetensors >b/adapter_model.safetensors
    run --separate-stderr -65 "$x" m.apr --adapter b -o f.apr
    [ ! -e f.apr ]
}

@test "no input, no place for the output" {
    run --separate-stderr -66 "$x" no.apr --adapter a -o f.apr
    run --separate-stderr -66 "$x" m.apr --adapter no -o f.apr
    run --separate-stderr -73 "$x" m.apr --adapter a -o no/such/f.apr
}
