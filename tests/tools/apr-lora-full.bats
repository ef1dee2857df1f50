#!/usr/bin/env bats
# apr-lora --method full - all weights trained: the model written, threads, accumulation, resume, from scratch
bats_require_minimum_version 1.5.0

load lora
setup() {
    train_files
    full=(m.apr --method full --data d.jsonl --lr 3e-3)
}

@test "a whole model with tokenizer, template, receipt and sidecar; it is what was trained" {
    run --separate-stderr -0 "$x" "${full[@]}" --val v.jsonl --epochs 2 -o a.apr --metrics a.jsonl
    [ -z "$output" ]
    jq -se 'map(select(.event=="epoch") | .loss) | .[2] < 0.8 * .[0]' a.jsonl
    "$APR_BIN/apr-info" a.apr >info
    grep -q '^chat format *chatml' info
    grep -q "^receipt *verified .*: logits equal to the source's; tokenizer equal, chat template equal" info
    [ "$(jq -r '.sha256, .receipt.promise' a.apr.meta.json | paste -sd' ')" = "$(sha256sum <a.apr | cut -d' ' -f1) equal" ]
    # every tensor moved, and its loss is the trained one's
    "$APR_BIN/apr-diff" m.apr a.apr --json >diff || true
    [ "$("$APR_BIN/apr-info" --json a.apr | jq '[.tensors[] | select(.type == "F32")] | length')" = 26 ]
    "$x" -q a.apr --data d.jsonl --val v.jsonl -o b --max-steps 1 --lr 0 --metrics b.jsonl
    jq -se --slurpfile z b.jsonl 'map(select(.event=="epoch"))[-1].loss == $z[0].loss' a.jsonl
    echo '{"prompt":"say 3"}' | "$APR_BIN/apr-gen" -q -m a.apr --max-tokens 4 | jq -e .text
    [ -z "$(find . -name '*.ckpt' -o -name '*.tmp.*')" ]
}

@test "the same bytes for any number of threads and with layers run twice" {
    "$x" -q "${full[@]}" -o a.apr --threads 1
    "$x" -q "${full[@]}" -o b.apr --threads 2 --recompute
    cmp a.apr b.apr
    "$x" -q "${full[@]}" -o b.apr --threads 3 --device cpu:generic
    cmp a.apr b.apr
}

@test "bf16: the same bytes on every path, for any number of threads; losses within 1 % of f32" {
    "$x" -q "${full[@]}" -o f.apr --batch 4 --metrics f.jsonl
    "$x" -q "${full[@]}" -o a.apr --batch 4 --precision bf16 --metrics a.jsonl
    jq -se --slurpfile z a.jsonl '[., $z] | transpose | all((.[0].loss - .[1].loss | fabs) < 0.01 * .[0].loss)' f.jsonl
    run -1 cmp -s f.apr a.apr
    for o in "--threads 1" "--threads 3 --recompute" "--device cpu:generic" "--device cpu:avx2" "--device cpu:amx-model"; do
        # shellcheck disable=SC2086
        run --separate-stderr "$x" -q "${full[@]}" -o b.apr --batch 4 --precision bf16 $o
        [ "$status" = 69 ] && [[ "$o" == *avx* ]] && continue # not a path of this machine
        [ "$status" = 0 ]
        cmp a.apr b.apr
    done
}

@test "a batch of 8 is 8 batches of 1" {
    "$x" -q "${full[@]}" --batch 8 -o a.apr --metrics a.jsonl
    "$x" -q "${full[@]}" --batch 1 --accum 8 -o b.apr --metrics b.jsonl
    [ "$(losses a.jsonl | wc -l)" = 5 ]
    jq -se --slurpfile z b.jsonl '[., $z] | transpose | all((.[0].loss - .[1].loss | fabs) < 1e-6)' a.jsonl
}

@test "20 steps are 10, kill -9, and 10 more: the same bits" {
    opts=("${full[@]}" --val v.jsonl --batch 2 --keep best --eval-every 5 --save-every 10)
    "$x" -q "${opts[@]}" -o whole.apr --metrics whole.jsonl
    dies_after_checkpoint a.apr "${opts[@]}" -o a.apr --metrics log.jsonl
    run --separate-stderr -0 "$x" "${opts[@]}" -o a.apr --metrics log.jsonl
    [[ "$stderr" == *"going on after step 10 of a.apr.ckpt"* ]]
    cmp whole.apr a.apr
    cmp whole.jsonl log.jsonl
    [ -z "$(find . -name '*.ckpt')" ]
}

@test "--type: rounded when it is written, and the receipt says by how much; weight decay" {
    "$x" -q "${full[@]}" --max-steps 3 -o a.apr
    "$x" -q "${full[@]}" --max-steps 3 -o b.apr --type bf16
    "$APR_BIN/apr-quant" -q a.apr --type bf16 -o c.apr
    for t in model.embed_tokens.weight model.layers.1.mlp.up_proj.weight; do
        [ "$("$APR_BIN/apr-info" --json b.apr | jq -c ".tensors[] | select(.name == \"$t\") | [.type, .hash]")" = "$("$APR_BIN/apr-info" --json c.apr | jq -c ".tensors[] | select(.name == \"$t\") | [.type, .hash]")" ]
    done
    jq -e '.receipt.verified and .receipt.max_diff > 0' b.apr.meta.json
    "$x" -q "${full[@]}" --max-steps 3 -o d.apr --weight-decay 0.1 --no-verify
    run -1 cmp -s a.apr d.apr
    jq -e '.receipt.verified | not' d.apr.meta.json
}

@test "text from scratch: a random model of the built-in shape learns" {
    for i in $(seq 12); do printf '{"text":"def f%d(x):\\n    return x + %d\\n"}\n' "$i" $((i * i)); done >p.jsonl
    "$APR_BIN/apr-random" -q --shape tiny-coder-29m --type bf16 --seed 3 -o r.apr
    "$x" -q r.apr --method full --task pretrain --data p.jsonl --max-seq-len 64 --batch 1 --lr 1e-3 --max-steps 3 --save-every 0 --no-verify --type bf16 -o s.apr --metrics s.jsonl
    # ln(8192) is 9.01
    jq -se 'map(select(.event=="step") | .loss) | (.[0] > 8.5 and .[0] < 10 and .[2] < .[0] - 1)' s.jsonl
    "$APR_BIN/apr-check" -q s.apr >/dev/null
}

@test "no room for the model, or for a checkpoint: 74, nothing there; what is there goes on" {
    opts=("${full[@]}" --batch 1 --save-every 30 -o a.apr)
    short() { (trap '' XFSZ && ulimit -f 60 && "$x" -q "${opts[@]}"); }
    run --separate-stderr -74 short
    [[ "$stderr" == *"a.apr.ckpt"* ]]
    [ ! -e a.apr ] && [ ! -e a.apr.ckpt ] && [ -z "$(find . -name '*.tmp.*')" ]
    # behind the last checkpoint
    dies_after_checkpoint a.apr "${opts[@]}"
    cp a.apr.ckpt kept
    run --separate-stderr -74 short
    [[ "$stderr" != *"ckpt"* ]]
    [ ! -e a.apr ] && [ -z "$(find . -name '*.tmp.*')" ]
    cmp kept a.apr.ckpt
    run --separate-stderr -0 "$x" "${opts[@]}"
    [[ "$stderr" == *"going on after step 30 of a.apr.ckpt"* ]]
    [ -e a.apr ] && [ ! -e a.apr.ckpt ]
}

@test "usage: what is of adapters alone, what is of models alone" {
    run --separate-stderr -64 "$x" "${full[@]}" -o a.apr --dora
    [[ "$stderr" == *"of adapters, not of --method full"* ]]
    run --separate-stderr -64 "$x" "${full[@]}" -o a.apr --targets q_proj
    run --separate-stderr -64 "$x" "${full[@]}" -o -
    run --separate-stderr -64 "$x" m.apr --data d.jsonl -o a --type bf16
    run --separate-stderr -64 "$x" m.apr --method half --data d.jsonl -o a
    run --separate-stderr -73 "$x" "${full[@]}" -o no/such/place.apr
    run --separate-stderr -65 "$x" "${full[@]}" -o a.apr --max-loss 1e-3
    [[ "$stderr" == *"diverged"* ]]
    [ ! -e a.apr ]
}
