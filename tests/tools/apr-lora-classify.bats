#!/usr/bin/env bats
# apr-lora --task classify - a head beside the adapter: accuracy, PEFT's folder, bad labels
bats_require_minimum_version 1.5.0

load lora
setup() {
    train_files
    for i in $(seq 48); do
        case $((i % 3)) in
        0) printf '{"text":"def f%d(x): return x","label":"python"}\n' "$i" ;;
        1) printf '{"text":"int f%d(int x) { return x; }","label":"c"}\n' "$i" ;;
        2) printf '{"text":"say %d yes","label":"english"}\n' "$i" ;;
        esac
    done >all.jsonl
    head -36 all.jsonl >d.jsonl
    tail -12 all.jsonl >v.jsonl
}
header() { tail -c +9 "$1" | head -c "$(od -An -tu8 -N8 "$1" | tr -d ' ')"; }

@test "it learns the classes; the loss begins near ln 3; accuracy on --val and in the metrics" {
    run --separate-stderr -0 "$x" m.apr --task classify --data d.jsonl --val v.jsonl --lr 2e-2 --epochs 8 -o a --metrics a.jsonl
    [[ "$stderr" == *"epoch 8: validation loss "*", accuracy 1.0000 (12 of 12)"* ]]
    jq -se 'map(select(.event=="epoch")) | (.[0].loss - (3 | log) | fabs < 0.3) and .[-1].accuracy == 1 and (.[-1] | has("perplexity") | not)' a.jsonl
    jq -se 'map(select(.event=="step"))[0].loss_tokens == 8' a.jsonl
    # the same for any number of threads, and of rows of a pass but for rounding
    "$x" -q m.apr --task classify --data d.jsonl --val v.jsonl --lr 2e-2 --epochs 8 -o b --threads 1 --recompute
    cmp a/adapter_model.safetensors b/adapter_model.safetensors
}

@test "PEFT's folder: score is saved beside the factors, the task is SEQ_CLS; apr-fuse refuses it by name" {
    "$x" -q m.apr --task classify --data d.jsonl -o a --max-steps 1
    jq -e '.task_type == "SEQ_CLS" and .modules_to_save == ["score"]' a/adapter_config.json
    header a/adapter_model.safetensors >h.json
    jq -e '.["base_model.model.score.weight"] | .shape == [3,32] and .dtype == "F32"' h.json
    [ "$(jq -r .__metadata__.labels h.json)" = '["c","english","python"]' ]
    jq -e 'has("base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight")' h.json
    run --separate-stderr -65 "$APR_BIN/apr-fuse" m.apr --adapter a -o f.apr
    [[ "$stderr" == *"modules_to_save"* ]]
}

@test "whole numbers are ordered as numbers; --show-batch shows the class; text is cut, the class is not" {
    for i in 10 9 -1 10 9; do printf '{"text":"say %s and more and more","label":%s}\n' "$i" "$i"; done >n.jsonl
    "$x" -q m.apr --task classify --data n.jsonl -o a --max-steps 1
    [ "$(header a/adapter_model.safetensors | jq -r .__metadata__.labels)" = '["-1","9","10"]' ]
    run --separate-stderr -0 "$x" m.apr --task classify --data n.jsonl --max-seq-len 4 --truncate --show-batch
    [[ "$stderr" == *"5 samples cut"* ]]
    [ "$(awk -F'\t' '$4 == 1 { print $1, $2, $5 }' <<<"$output" | sort -n)" = $'0 3 "10"\n1 3 "9"\n2 3 "-1"\n3 3 "10"\n4 3 "9"' ]
    run --separate-stderr -65 "$x" m.apr --task classify --data n.jsonl --max-seq-len 4 --show-batch
    [[ "$stderr" == *"no sample to learn from (5 left out)"* ]]
}

@test "resume to the same bits, with dora, bf16 products or 8-bit moments" {
    for o in "--optim-state 8bit" --dora "--precision bf16"; do
        opts=(m.apr --task classify --data d.jsonl --batch 2 --epochs 6 --save-every 4)
        # shellcheck disable=SC2206
        opts+=($o)
        "$x" -q "${opts[@]}" -o a
        dies_after_checkpoint b "${opts[@]}" -o b
        run --separate-stderr -0 "$x" "${opts[@]}" -o b
        [[ "$stderr" == *"going on after step"* ]]
        cmp a/adapter_model.safetensors b/adapter_model.safetensors
        rm -r a b
    done
}

@test "bad labels: one alone, an unknown one, none, a fraction; not with --method full, --adapters or --eval-bench" {
    head -1 d.jsonl >one.jsonl
    run --separate-stderr -65 "$x" m.apr --task classify --data one.jsonl -o a
    [[ "$stderr" == *"one.jsonl: 1 label, expected two or more"* ]]
    echo '{"text":"x","label":"rust"}' >r.jsonl
    run --separate-stderr -65 "$x" m.apr --task classify --data d.jsonl --val r.jsonl -o a
    [[ "$stderr" == *'r.jsonl:1: label "rust": the training data has none such'* ]]
    echo '{"text":"x"}' >r.jsonl
    run --separate-stderr -65 "$x" m.apr --task classify --data r.jsonl -o a
    [[ "$stderr" == *'r.jsonl:1: no "label", expected {"text", "label"}'* ]]
    echo '{"text":"x","label":1.5}' >r.jsonl
    run --separate-stderr -65 "$x" m.apr --task classify --data r.jsonl -o a
    [[ "$stderr" == *"r.jsonl:1"*"label"* ]]
    run --separate-stderr -64 "$x" m.apr --task classify --method full --data d.jsonl -o a
    run --separate-stderr -64 "$x" m.apr --task classify --adapters d.jsonl:a,v.jsonl:b
    [[ "$stderr" == *"--task classify"*"--adapters"* ]]
    run --separate-stderr -64 "$x" m.apr --task classify --data d.jsonl --eval-bench basic -o a
    [[ "$stderr" == *"--task classify"*"--eval-bench"* ]]
    [ ! -e a ]
}
