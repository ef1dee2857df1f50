#!/usr/bin/env bats
# apr-lora --adapters - several adapters at once on one base: each is what it is alone, resumed, refused
bats_require_minimum_version 1.5.0

load lora
setup() {
    train_files
    mv d.jsonl x.jsonl
    sed 's/yes/no/' x.jsonl | tail -22 >y.jsonl
    sed 's/yes/perhaps/' x.jsonl | head -9 >z.jsonl
    opts=(m.apr --lr 1e-2 --batch 4 --epochs 2 --dropout 0.1)
}
same() { # A B: the same adapter, but for its name
    cmp "$1/adapter_model.safetensors" "$2/adapter_model.safetensors"
    cmp "$1/adapter_config.json" "$2/adapter_config.json"
}

@test "three at once, of unequal length: the bits of each alone, its own metrics and sidecar" {
    run --separate-stderr -73 "$x" "${opts[@]}" --adapters x.jsonl:a,y.jsonl:b --adapters z.jsonl:sub/c # no folder `sub`
    mkdir sub
    run --separate-stderr -0 "$x" "${opts[@]}" --val v.jsonl --adapters x.jsonl:a,y.jsonl:b --adapters z.jsonl:sub/c/ --metrics %.log
    [ -z "$output" ]
    [[ "$stderr" == *"a: epoch 2: validation loss"* && "$stderr" == *"sub/c: epoch 1: validation loss"* ]]
    # in turn: the first of each comes before the second of any
    [ "$(grep -o '^apr-lora: [a-z/]*: epoch 0' <<<"$stderr" | paste -sd' ')" = "apr-lora: a: epoch 0 apr-lora: b: epoch 0 apr-lora: sub/c: epoch 0" ]
    for o in "x a" "y b" "z sub/c"; do
        read -r data out <<<"$o"
        "$x" -q "${opts[@]}" --val v.jsonl --data "$data.jsonl" -o alone --metrics alone.log
        same "$out" alone
        cmp "$out.log" alone.log
        [ "$(jq -r .sha256 "$out.meta.json")" = "$(sha256sum <"$out/adapter_model.safetensors" | cut -d' ' -f1)" ]
        [ "$(jq -r '.inputs[1].path' "$out.meta.json")" = "$data.jsonl" ]
    done
    [ -z "$(find . -name '*.ckpt' -o -name '*.part' -o -name '*.tmp.*')" ]
}

@test "bf16, layers run twice, DoRA: the same bits" {
    for more in "--precision bf16" "--recompute --threads 1" "--dora"; do
        # shellcheck disable=SC2086
        "$x" -q "${opts[@]}" $more --adapters x.jsonl:a,y.jsonl:b
        # shellcheck disable=SC2086
        "$x" -q "${opts[@]}" $more --data y.jsonl -o alone
        same b alone
    done
}

@test "kill -9 and on: the same bits; what was trained alone goes on beside others" {
    opts+=(--save-every 3 --keep best --val v.jsonl)
    "$x" -q "${opts[@]}" --adapters x.jsonl:a,y.jsonl:b --metrics %.log
    mv a whole-a; mv b whole-b; mv a.log whole-a.log
    dies_after_checkpoint b "${opts[@]}" --adapters x.jsonl:a,y.jsonl:b --metrics %.log
    run --separate-stderr -0 "$x" "${opts[@]}" --adapters y.jsonl:b,x.jsonl:a --metrics %.log
    [[ "$stderr" == *"b: going on after step "*" of b.ckpt"* ]]
    same whole-a a
    same whole-b b
    cmp whole-a.log a.log
    [ -z "$(find . -name '*.ckpt')" ]
}

@test "one that stops early leaves the others alone" {
    opts=(m.apr --val v.jsonl --lr 0.05 --schedule constant --batch 4 --epochs 6 --eval-every 4 --patience 2)
    run --separate-stderr -0 "$x" "${opts[@]}" --adapters x.jsonl:a,y.jsonl:b
    [[ "$stderr" == *": stopped"* ]]
    "$x" -q "${opts[@]}" --data x.jsonl -o alone
    same a alone
    "$x" -q "${opts[@]}" --data y.jsonl -o alone
    same b alone
}

@test "a run that fails is named, the checkpoints of all stay" {
    opts+=(--save-every 2)
    run --separate-stderr -65 "$x" "${opts[@]}" --adapters x.jsonl:a,y.jsonl:b --max-loss 1e-3
    [[ "$stderr" == *"a: step 1: the loss is"*"diverged" ]]
    { head -30 x.jsonl; echo '{"instruction":"x","response":""}'; } >e.jsonl
    run --separate-stderr -65 "$x" "${opts[@]}" --adapters x.jsonl:a,e.jsonl:b
    [[ "$stderr" == *"e.jsonl:31: the response is empty"* ]]
    [ ! -e a ] && [ ! -e b ]
}

@test "usage" {
    for bad in x.jsonl :a x.jsonl: x.jsonl:a,,y.jsonl:b x.jsonl:a,y.jsonl:a/; do
        run --separate-stderr -64 "$x" m.apr --adapters "$bad"
        [[ "$stderr" == *"--adapters: "* ]]
    done
    run --separate-stderr -64 "$x" m.apr --adapters x.jsonl:a --data x.jsonl
    run --separate-stderr -64 "$x" m.apr --adapters x.jsonl:a -o b
    run --separate-stderr -64 "$x" m.apr --adapters x.jsonl:a --method full
    run --separate-stderr -64 "$x" m.apr --adapters x.jsonl:a,y.jsonl:b --metrics log.jsonl
    [[ "$stderr" == *"%"* ]]
    run --separate-stderr -66 "$x" m.apr --adapters x.jsonl:a,no.jsonl:b
    [ ! -e a ]
}
