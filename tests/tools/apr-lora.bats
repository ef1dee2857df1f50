#!/usr/bin/env bats
# apr-lora - training on a model of two layers: outputs, bad input, accumulation, threads, resume
bats_require_minimum_version 1.5.0

load lora
setup() { train_files; }

@test "an adapter in PEFT's layout, a sidecar, metrics; nothing else is left" {
    run --separate-stderr -0 "$x" m.apr --data d.jsonl --val v.jsonl -o a --rank 4 --lr 1e-2 --epochs 2 --metrics log.jsonl
    [ -z "$output" ]
    [[ "$stderr" == *"epoch 2: validation loss"* ]]
    [ "$(ls a)" = $'adapter_config.json\nadapter_model.safetensors' ]
    [ "$(jq -c '[.peft_type,.r,.lora_alpha,.use_rslora,.target_modules[0]]' a/adapter_config.json)" = '["LORA",4,32,false,"q_proj"]' ]
    n=$(od -An -tu8 -N8 a/adapter_model.safetensors | tr -d ' ')
    tail -c +9 a/adapter_model.safetensors | head -c "$n" | jq -e '.["base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"].shape == [4,32]'
    [ "$(jq -r .sha256 a.meta.json)" = "$(sha256sum <a/adapter_model.safetensors | cut -d' ' -f1)" ]
    [ "$(jq -s '[length, (map(select(.event=="step")) | length), .[0].schema]' -c log.jsonl)" = '[13,10,"metric/1"]' ]
    jq -se 'map(select(.event=="epoch")) | .[2].loss < .[0].loss' log.jsonl
    [ -z "$(find . -name '*.ckpt' -o -name '*.part' -o -name '*.tmp.*')" ]
}

@test "the same bytes for any number of threads, another seed gives others; an old output is replaced" {
    "$x" -q m.apr --data d.jsonl -o a --dropout 0.1 --threads 1
    "$x" -q m.apr --data d.jsonl -o b --dropout 0.1 --threads 2 --recompute
    cmp a/adapter_model.safetensors b/adapter_model.safetensors
    "$x" -q m.apr --data - -o c --dropout 0.1 <d.jsonl
    cmp a/adapter_model.safetensors c/adapter_model.safetensors
    "$x" -q m.apr --data d.jsonl -o b --dropout 0.1 --seed 7
    run -1 cmp -s a/adapter_model.safetensors b/adapter_model.safetensors
}

@test "bf16: the same bytes on every path and for any number of threads, losses within 1 % of f32" {
    opts=(--data d.jsonl --lr 1e-2 --batch 4 --epochs 2)
    "$x" -q m.apr "${opts[@]}" -o f --metrics f.jsonl
    "$x" -q m.apr "${opts[@]}" -o a --precision bf16 --metrics a.jsonl
    run -1 cmp -s f/adapter_model.safetensors a/adapter_model.safetensors
    [ "$(losses f.jsonl | wc -l)" = 20 ]
    jq -se --slurpfile z a.jsonl '[., $z] | transpose | all((.[0].loss - .[1].loss | fabs) < 0.01 * .[0].loss)' f.jsonl
    for o in "--threads 1" "--threads 3 --recompute" "--device cpu:generic" "--device cpu:avx2" "--device cpu:avx512" "--device cpu:amx" "--device cpu:amx-model"; do
        # shellcheck disable=SC2086
        run --separate-stderr "$x" -q m.apr "${opts[@]}" -o b --precision bf16 $o
        [ "$status" = 69 ] && [[ "$o" == *avx* || "$o" == *amx ]] && continue # not a path of this machine
        [ "$status" = 0 ]
        cmp a/adapter_model.safetensors b/adapter_model.safetensors
    done
}

@test "a checkpoint of another precision is passed over" {
    opts=(--data d.jsonl -o a --batch 2 --epochs 2 --save-every 2)
    dies_after_checkpoint a m.apr "${opts[@]}"
    cp a.ckpt other.ckpt
    run --separate-stderr -0 "$x" m.apr "${opts[@]}" --precision bf16
    [[ "$stderr" != *"going on"* ]]
    mv other.ckpt a.ckpt # which is as good as any, for the run that made it
    run --separate-stderr -0 "$x" m.apr "${opts[@]}"
    [[ "$stderr" == *"going on after step"* ]]
}

@test "a batch of 8 is 8 batches of 1, in a short last step too; packing changes rounding alone" {
    "$x" -q m.apr --data d.jsonl -o a --batch 12 --metrics a.jsonl
    "$x" -q m.apr --data d.jsonl -o b --batch 1 --accum 12 --metrics b.jsonl
    "$x" -q m.apr --data d.jsonl -o c --batch 12 --pack 1 --max-seq-len 100 --metrics c.jsonl
    [ "$(losses a.jsonl | wc -l)" = 4 ]
    for o in b c; do
        jq -se --slurpfile z $o.jsonl '[., $z] | transpose | all((.[0].loss - .[1].loss | fabs) < 1e-6 and .[0].loss_tokens == .[1].loss_tokens)' a.jsonl
    done
}

@test "20 steps are 10, kill -9, and 10 more: the same bits" {
    opts=(--data d.jsonl --val v.jsonl --batch 2 --epochs 1 --dropout 0.2 --save-every 10)
    "$x" -q m.apr "${opts[@]}" -o whole --metrics whole.jsonl
    dies_after_checkpoint a m.apr "${opts[@]}" -o a --metrics log.jsonl
    run --separate-stderr -0 "$x" m.apr "${opts[@]}" -o a --metrics log.jsonl
    [[ "$stderr" == *"going on after step 10 of a.ckpt"* ]]
    cmp whole/adapter_model.safetensors a/adapter_model.safetensors
    cmp whole.jsonl log.jsonl
    [ ! -e a.ckpt ] && [ ! -e log.jsonl.part ]
}

@test "QLoRA: over NF4 and 8-bit bases it learns, and differently" {
    for t in nf4 q8_0 q5_0; do
        "$APR_BIN/apr-quant" -q m.apr --requantize --type $t -o $t.apr
        "$x" -q $t.apr --data d.jsonl -o $t --lr 1e-2 --epochs 3 --metrics $t.jsonl
        jq -se 'map(select(.event=="step") | .loss) | .[-1] < 0.8 * .[0]' $t.jsonl
    done
    run -1 cmp -s nf4/adapter_model.safetensors q8_0/adapter_model.safetensors
}

@test "targets by expression: the same adapters as by name, PEFT is told the expression" {
    "$x" -q m.apr --data d.jsonl -o a --targets q_proj,v_proj --max-steps 2
    "$x" -q m.apr --data d.jsonl -o b --targets '.*[.][qv]_proj' --max-steps 2
    cmp a/adapter_model.safetensors b/adapter_model.safetensors
    [ "$(jq -r .target_modules b/adapter_config.json)" = '.*[.][qv]_proj' ]
    "$x" -q m.apr --data d.jsonl -o c --targets 'model.layers.1.self_attn.q_proj' --max-steps 2
    [ "$(jq -r '.bytes' c.meta.json)" -lt "$(jq -r '.bytes' a.meta.json)" ]
    run --separate-stderr -64 "$x" m.apr --data d.jsonl -o d --targets 'q_proj(' --max-steps 2
    run --separate-stderr -64 "$x" m.apr --data d.jsonl -o d --rank 33 --max-steps 2
    [[ "$stderr" == *"rank 33 is larger than the layer model.layers.0."* ]]
    [ ! -e d ]
}

@test "LoRA+: B's own rate; 1 is plain LoRA" {
    "$x" -q m.apr --data d.jsonl -o a --max-steps 3
    "$x" -q m.apr --data d.jsonl -o b --max-steps 3 --lr-ratio 1
    "$x" -q m.apr --data d.jsonl -o c --max-steps 3 --lr-ratio 16
    cmp a/adapter_model.safetensors b/adapter_model.safetensors
    run -1 cmp -s a/adapter_model.safetensors c/adapter_model.safetensors
}

@test "DoRA: PEFT's names, the same bytes for any threads, fused it is what was trained; not in bf16" {
    "$x" -q m.apr --data d.jsonl --val v.jsonl -o a --dora --lr 1e-2 --epochs 2 --threads 1 --metrics a.jsonl
    "$x" -q m.apr --data d.jsonl --val v.jsonl -o b --dora --lr 1e-2 --epochs 2 --threads 2 --recompute
    cmp a/adapter_model.safetensors b/adapter_model.safetensors
    jq -e .use_dora a/adapter_config.json
    n=$(od -An -tu8 -N8 a/adapter_model.safetensors | tr -d ' ')
    tail -c +9 a/adapter_model.safetensors | head -c "$n" | jq -e '.["base_model.model.model.layers.1.self_attn.q_proj.lora_magnitude_vector"].shape == [32]'
    "$APR_BIN/apr-fuse" m.apr --adapter a --type f32 -o f.apr
    # its validation loss, before anything is trained, is that of the adapter
    "$x" -q f.apr --data d.jsonl --val v.jsonl -o c --max-steps 1 --lr 0 --metrics c.jsonl
    jq -se --slurpfile z c.jsonl 'map(select(.event=="epoch"))[-1].loss - $z[0].loss | fabs < 1e-5' a.jsonl
    run --separate-stderr -69 "$x" m.apr --data d.jsonl -o d --dora --precision bf16
    [[ "$stderr" == *"DoRA in bf16"* ]]
    run --separate-stderr -65 "$APR_BIN/apr2gguf" m.apr --adapter a -o a.gguf
    [[ "$stderr" == *use_dora* ]]
}

@test "--show-batch: every token of the first step, loss on the response alone" {
    run --separate-stderr -0 "$x" m.apr --data d.jsonl --batch 2 --accum 2 --show-batch
    [ "$(cut -f1 <<<"$output" | sort -u | wc -l)" = 4 ]
    one=$(awk -F'\t' -v s="$(head -1 <<<"$output" | cut -f1)" '$1 == s' <<<"$output")
    n=$(($(head -1 <<<"$output" | cut -f1) + 1))
    [ "$(awk -F'\t' '$4 == 1 { print $5 }' <<<"$one" | jq -j . | head -c -1)" = "$(sed -n ${n}p d.jsonl | jq -r .response)<|im_end|>" ]
    [[ "$(awk -F'\t' '$4 == 0 { print $5 }' <<<"$one" | jq -j .)" == *"say $n<|im_end|>"*assistant* ]]
    "$x" -q m.apr --data d.jsonl --batch 4 -o a --max-steps 1 --metrics a.jsonl
    [ "$(jq 'select(.event=="step").loss_tokens' a.jsonl)" = "$(awk -F'\t' '{ n += $4 } END { print n }' <<<"$output")" ]
}

@test "data that changed since the checkpoint is an error, and the checkpoint stays" {
    opts=(m.apr --data c.jsonl -o a --batch 2 --epochs 2 --save-every 2)
    cp d.jsonl c.jsonl
    dies_after_checkpoint a "${opts[@]}"
    cp a.ckpt kept
    sed '7s/yes/no/' d.jsonl >c.jsonl
    run --separate-stderr -65 "$x" "${opts[@]}"
    [[ "$stderr" == *"a.ckpt: the data changed since this checkpoint of step "* ]]
    cmp kept a.ckpt
    cp d.jsonl c.jsonl
    run --separate-stderr -0 "$x" "${opts[@]}" --lr 1e-3
    [[ "$stderr" == *"other arguments, passed over"* ]]
}

@test "no room for the next checkpoint: 74, and the last good one stays" {
    opts=(m.apr --data d.jsonl -o a --batch 2 --epochs 2 --save-every 2)
    dies_after_checkpoint a "${opts[@]}"
    cp a.ckpt kept
    full() { (trap '' XFSZ && ulimit -f 4 && "$x" -q "${opts[@]}"); }
    run --separate-stderr -74 full
    [[ "$stderr" == *"a.ckpt"* ]]
    cmp kept a.ckpt
    [ -z "$(find . -name '*.tmp.*')" ]
    "$x" -q "${opts[@]}"
    [ -e a ] && [ ! -e a.ckpt ]
}

@test "the weights of the lowest validation loss, and patience; a killed run gives the same" {
    opts=(m.apr --data d.jsonl --val v.jsonl --lr 0.05 --schedule constant --batch 4 --epochs 6 --eval-every 4)
    "$x" -q "${opts[@]}" -o last --metrics last.jsonl
    best=$(jq -s '[.[] | select(.event=="epoch")] | min_by(.loss).step' last.jsonl)
    [ "$best" -gt 0 ] && [ "$best" -lt 60 ]
    run --separate-stderr -0 "$x" "${opts[@]}" -o best --keep best
    [[ "$stderr" == *"kept: step $best, "* ]]
    "$x" -q "${opts[@]}" -o at --max-steps "$best"
    cmp at/adapter_model.safetensors best/adapter_model.safetensors
    run --separate-stderr -0 "$x" "${opts[@]}" -o p --keep best --patience 2 --metrics p.jsonl
    [[ "$stderr" == *"stopped"* ]]
    opts+=(--keep best --patience 2 --save-every 3)
    dies_after_checkpoint k "${opts[@]}" -o k
    "$x" -q "${opts[@]}" -o k
    cmp p/adapter_model.safetensors k/adapter_model.safetensors
    [ -z "$(find . -name '*.ckpt')" ]
    run --separate-stderr -64 "$x" m.apr --data d.jsonl -o a --keep best
}

@test "a damaged checkpoint is 65; one of another command is passed over" {
    head -c 100 /dev/zero >a.ckpt
    run --separate-stderr -65 "$x" m.apr --data d.jsonl -o a
    [[ "$stderr" == *"a.ckpt"* ]]
    rm a.ckpt
    dies_after_checkpoint b m.apr --data d.jsonl -o b --batch 4 --epochs 2 --save-every 3
    mv b.ckpt a.ckpt
    run --separate-stderr -0 "$x" m.apr --data d.jsonl -o a --batch 5
    [[ "$stderr" != *"going on"* ]]
}

@test "usage" {
    run --separate-stderr -64 "$x"
    run --separate-stderr -64 "$x" m.apr --data d.jsonl
    run --separate-stderr -64 "$x" m.apr -o a
    run --separate-stderr -64 "$x" m.apr --data d.jsonl -o a --targets q_proj,w_proj
    [[ "$stderr" == *"w_proj"* ]]
    run --separate-stderr -64 "$x" m.apr --data d.jsonl -o a --schedule sine
}

@test "bad data: an empty response, no response, a torn line, nothing that fits" {
    { head -3 d.jsonl; echo '{"instruction":"x","response":""}'; } >e.jsonl
    run --separate-stderr -65 "$x" m.apr --data e.jsonl -o a
    [[ "$stderr" == *"e.jsonl:4: the response is empty"* ]]
    echo '{"instruction":"x"}' >e.jsonl
    run --separate-stderr -65 "$x" m.apr --data e.jsonl -o a
    [[ "$stderr" == *'no "response"'* ]]
    head -c -5 d.jsonl >e.jsonl
    run --separate-stderr -65 "$x" m.apr --data e.jsonl -o a
    : >e.jsonl
    run --separate-stderr -65 "$x" m.apr --data e.jsonl -o a
    run --separate-stderr -65 "$x" m.apr --data d.jsonl -o a --max-seq-len 4
    [[ "$stderr" == *"40 left out"* ]]
    [ ! -e a ]
}

@test "long samples are left out and counted, cut if that is asked for" {
    n() { "$x" m.apr --data d.jsonl --batch 40 --max-seq-len 45 --show-batch "$@" 2>msg | cut -f1 | sort | uniq -c | awk '{ print $1 }' | sort -n | tail -1; }
    samples() { "$x" -q m.apr --data d.jsonl --batch 40 --max-seq-len 45 --show-batch "$@" | cut -f1 | sort -u | wc -l; }
    [ "$(n)" -le 45 ]
    left=$(sed -n 's/.*: \([0-9]*\) of 40 samples have more than 45 tokens: left out.*/\1/p' msg)
    [ "$left" -gt 0 ] && [ "$(samples)" = $((40 - left)) ]
    [ "$(n --truncate)" = 45 ]
    grep -q " $left samples cut at 45 tokens, 0 left out" msg
    # one whose prompt is as long is left out all the same, and it is said why
    { head -1 d.jsonl; printf '{"instruction":"%0400d","response":"yes"}\n' 7; } >p.jsonl
    "$x" m.apr --data p.jsonl --max-seq-len 45 --truncate --show-batch 2>msg >/dev/null
    grep -q "p.jsonl: 0 samples cut at 45 tokens, 1 left out: their prompts fill them" msg
    [ "$(samples --truncate)" = 40 ]
    # a prompt as long as that leaves nothing to learn from
    run --separate-stderr -65 "$x" m.apr --data d.jsonl -o a --max-seq-len 4 --truncate
    [[ "$stderr" == *"no sample to learn from (40 left out)"* ]]
}

@test "weights that are no numbers: an error with the step, the checkpoint stays" {
    opts=(m.apr --data d.jsonl -o a --batch 2 --epochs 2 --save-every 2)
    dies_after_checkpoint a "${opts[@]}"
    # a NaN among its weights, and a sum that fits
    python3 - a.ckpt <<'PY'
import hashlib, struct, sys
b = bytearray(open(sys.argv[1], "rb").read())[:-64]
n, = struct.unpack_from("<Q", b, 8)
struct.pack_into("<f", b, 16 + n + 400, float("nan"))
open(sys.argv[1], "wb").write(bytes(b) + hashlib.sha256(b).hexdigest().encode())
PY
    cp a.ckpt kept
    for more in "" "--max-loss 0"; do
        # shellcheck disable=SC2086
        run --separate-stderr -65 "$x" "${opts[@]}" $more
        [[ "$stderr" == *"step "[0-9]*": the loss is not finite" ]]
        [ ! -e a ]
        cmp kept a.ckpt
    done
}

@test "progress: loss, tokens a second, share of the peak, memory, time left; on a terminal as wide as it" {
    run --separate-stderr -0 "$x" m.apr --data d.jsonl -o a
    [ -z "$stderr" ]
    line='[0-9]+/[0-9]+ tokens \(100 %\), [0-9.]+/s, step 5/5, loss [0-9.]+, MFU [0-9.]+ % of [0-9.]+ TFLOP/s, [0-9.]+ GiB'
    run --separate-stderr -0 "$x" m.apr --data d.jsonl -o a -v
    grep -qE "$line" <<<"$stderr"
    script -qec true /dev/null >/dev/null || skip "no terminals here"
    script -qec "stty cols 200; $x m.apr --data d.jsonl -o a -v" /dev/null >wide
    grep -qE "$line" wide
    script -qec "stty cols 50; $x m.apr --data d.jsonl -o a -v" /dev/null | tr '\r' '\n' | sed 's/\x1b\[K//' | grep "(100 %)" >narrow
    [ "$(awk '{ print length }' narrow | sort -n | tail -1)" = 49 ]
}

@test "divergence names the step and leaves nothing" {
    run --separate-stderr -65 "$x" m.apr --data d.jsonl -o a --max-loss 1e-3
    [[ "$stderr" == *"step 1: the loss is"*"diverged" ]]
    run --separate-stderr -65 "$x" m.apr --data d.jsonl -o a --max-loss 1e-3 --alert "call someone"
    [[ "$stderr" == *"diverged: call someone" ]]
    [ ! -e a ] && [ ! -e a.ckpt ]
}

@test "no input, no device, no place for the output" {
    run --separate-stderr -66 "$x" no.apr --data d.jsonl -o a
    run --separate-stderr -66 "$x" m.apr --data no.jsonl -o a
    run --separate-stderr -69 "$x" m.apr --data d.jsonl -o a --device tpu
    run --separate-stderr -73 "$x" m.apr --data d.jsonl -o no/such/place
    echo >file
    run --separate-stderr -73 "$x" m.apr --data d.jsonl -o file
    head -c 3000 m.apr >t.apr
    run --separate-stderr -65 "$x" t.apr --data d.jsonl -o a
}

@test "--plan: memory, steps and time, and nothing else happens; the steps are those of the run" {
    opts=(m.apr --data d.jsonl --val v.jsonl --batch 4 --epochs 2 --rank 4)
    run --separate-stderr -0 "$x" "${opts[@]}" --plan --json -o a
    jq -e '.schema == "plan/1" and (.method | IN("lora", "qlora")) and .fits and .optimizer_bytes > 0 and .activation_bytes > 0 and .seconds > 0' <<<"$output"
    [ ! -e a ] && [ ! -e a.ckpt ]
    planned=$(jq -c '[.steps, .tokens, .loss_tokens, .validations]' <<<"$output")
    "$x" -q "${opts[@]}" -o a --metrics log.jsonl
    [ "$planned" = "$(jq -sc '[(map(select(.event == "step")) | length, (map(.tokens) | add), (map(.loss_tokens) | add)), (map(select(.event == "epoch")) | length)]' log.jsonl)" ]
    bytes() { "$x" -q "${opts[@]}" --plan --json "$@" | jq .total_bytes; }
    [ "$(bytes --rank 8)" -gt "$(bytes)" ] && [ "$(bytes --recompute)" -lt "$(bytes)" ]
    # the memory is apr-plan's for samples of that length
    plan=$("$x" -q "${opts[@]}" --plan --json) ctx=$(jq .ctx <<<"$plan")
    [ "$(bytes)" = "$("$APR_BIN/apr-plan" m.apr --method "$(jq -r .method <<<"$plan")" --rank 4 --batch 4 --ctx "$ctx" --json | jq .total_bytes)" ]
    run --separate-stderr -0 "$x" "${opts[@]}" --plan --targets '.*\.1\..*q_proj' --dora
    [[ "$output" == *"seconds, "*" tokens/s"* ]]
    # of all weights: 16 bytes each, time too, more threads change no number of steps
    run --separate-stderr -0 "$x" m.apr --data d.jsonl --val v.jsonl --batch 4 --epochs 2 --method full --plan --json
    jq -e '.method == "full" and .seconds > 0 and .optimizer_bytes == 3 * .weights_bytes' <<<"$output"
    run --separate-stderr -0 "$x" m.apr --data d.jsonl --batch 4 --method full --plan --precision bf16 --recompute
    [[ "$output" == *"seconds, "*" tokens/s"* ]]
    run --separate-stderr -65 "$x" m.apr --data /dev/null --plan
    run --separate-stderr -64 "$x" m.apr --data d.jsonl -o a --json
}
