#!/usr/bin/env bats
# receipts - a tool that writes a model compares it with its source and says what it found
bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    "$APR_BIN/gguf2apr" "$TOP/data/models/tiny-coder-29m-Q8_0.gguf" -o m.apr
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    m="$BATS_FILE_TMPDIR/m.apr"
}

# metadata of an .apr file as JSON
meta() {
    local n
    n=$(od -An -tu4 -j20 -N4 "$1" | tr -d ' ')
    tail -c +65 "$1" | head -c "$n"
}
# a filter's result over the receipt of a sidecar
side() { jq -c ".receipt | $2" "$1.meta.json"; }
equal='[.verified,.promise,.max_diff,.kl_max,.tokenizer,.chat,.rows == .top1,.greedy == .greedy_same,.prompts,.limit]'
all='[true,"equal",0,0,"equal","equal",true,true,3,"none"]'

@test "imports and exports: equal, in the sidecar and in the file, and told" {
    [ "$(side "$m" "$equal")" = "$all" ]
    [ "$(side "$m" .)" = "$(meta "$m" | jq -c .receipt)" ]
    "$APR_BIN/apr2gguf" "$m" -o b.gguf
    [ "$(side b.gguf "$equal")" = "$all" ]
    "$APR_BIN/apr2gguf" "$m" -o s.gguf --split-max-tensors 40
    [ "$(side s-00001-of-00003.gguf "$equal")" = "$all" ]
    [ "$(side s-00003-of-00003.gguf .)" = "$(side b.gguf .)" ]
    "$APR_BIN/st2apr" "$TOP/tests/vectors/tiny-hf" -o t.apr
    [ "$(side t.apr "$equal")" = "$all" ]
    "$APR_BIN/apr2st" t.apr -o d
    [ "$(side d "$equal")" = "$all" ]
    run -0 "$APR_BIN/apr-info" b.gguf
    [[ "$output" == *"receipt       verified on 100 positions of 3 prompts: logits equal"* ]]
    [ "$("$APR_BIN/apr-info" --json d | jq -c .receipt.verified)" = true ]
    [ "$("$APR_BIN/apr-info" --json t.apr | jq -c .receipt)" = "$(side t.apr .)" ]
    # a file that is another one by now has none
    printf x >>b.gguf
    [ "$("$APR_BIN/apr-info" --json b.gguf | jq -c .receipt)" = null ]
}

@test "rounded weights: by how much" {
    "$APR_BIN/apr-quant" "$m" --type q4_k_m --requantize -q -o q.apr
    [ "$(side q.apr '[.verified,.promise,.tokenizer,.chat,.rows]')" = '[true,"none","equal","equal",100]' ]
    [ "$(side q.apr '.max_diff > 0.5 and .kl_mean > 0.001 and .kl_mean < .kl_max and .kl_max < 1 and .top1 > 60 and .greedy_same > 0')" = true ]
    "$APR_BIN/apr2st" q.apr -o d
    [ "$(side d '.promise == "none" and .kl_mean < 0.01 and .kl_mean > 0')" = true ]
    "$APR_BIN/apr-quant" "$m" --type q8_0 -o same.apr
    [ "$(side same.apr '[.promise,.max_diff]')" = '["equal",0]' ]
}

@test "an adapter: against the base and the adapter in F32" {
    "$APR_BIN/gguf2apr" "$TOP/tests/vectors/tiny.gguf" -o t.apr
    printf '{"instruction":"say %d","response":"yes"}\n' 1 2 3 4 >d.jsonl
    "$APR_BIN/apr-lora" -q t.apr --data d.jsonl -o a --rank 4 --lr 0.05 --epochs 2
    "$APR_BIN/apr-fuse" t.apr --adapter a --type f32 -o f.apr >/dev/null
    # the base's Q8_0 is rounded with 8-bit activations where the merged F32 is not
    [ "$(side f.apr '[.verified,.promise,.tokenizer]')" = '[true,"none","equal"]' ]
    "$APR_BIN/apr-quant" -q t.apr --type f32 --requantize -o w.apr
    "$APR_BIN/apr-fuse" w.apr --adapter a --other-base -o g.apr >/dev/null
    [ "$(side g.apr '[.promise,.max_diff]')" = '["equal",0]' ]
    "$APR_BIN/apr-fuse" w.apr --adapter a --other-base --type bf16 -o h.apr >/dev/null
    [ "$(side h.apr '.promise == "none" and .max_diff > 0 and .kl_mean < 1e-3')" = true ]
}

@test "--no-verify: nothing is compared, and everything says so" {
    none='{"schema":"receipt/1","verified":false,"reason":"--no-verify"}'
    "$APR_BIN/apr-quant" --no-verify "$m" --type q8_0 -o q.apr
    [ "$(side q.apr .)$(meta q.apr | jq -c .receipt)" = "$none$none" ]
    [ "$(jq -c '.args["no-verify"]' q.apr.meta.json)" = true ]
    run -0 "$APR_BIN/apr-check" q.apr
    [[ "$output" == *"Receipt    no   not verified: --no-verify"* ]]
    [ "$("$APR_BIN/apr-check" --json q.apr | jq -c '[.ok,.receipt_holds,.receipt.reason]')" = '[true,false,"--no-verify"]' ]
    "$APR_BIN/apr2gguf" --no-verify q.apr -o q.gguf
    "$APR_BIN/apr2st" --no-verify q.apr -o d
    [ "$(side q.gguf .)$(side d .)" = "$none$none" ]
    # the place is reserved all the same
    "$APR_BIN/apr-quant" "$m" --type q8_0 -o v.apr
    diff=$(($(stat -c %s q.apr) - $(stat -c %s v.apr))) # "false" is a byte longer than "true"
    [ "${diff#-}" -le 64 ]
    [ "$("$APR_BIN/apr-check" --json v.apr | jq -c .receipt_holds)" = true ]
}

@test "what cannot be compared is written, and the reason with it" {
    "$APR_BIN/gguf2apr" "$TOP/tests/vectors/tiny.gguf" -o - | cat >p.apr
    [[ "$(meta p.apr | jq -r .receipt.reason)" == *pipe* ]]
    "$APR_BIN/apr-random" --shape tiny-coder-29m -o r.apr
    [[ "$(meta r.apr | jq -r .receipt.reason)" == "random weights"* ]]
    # without the project's data: a program alone
    cp "$APR_BIN/gguf2apr" "$TOP/tests/vectors/tiny.gguf" .
    run --separate-stderr -0 ./gguf2apr tiny.gguf -o t.apr
    [[ "$stderr" == "gguf2apr: t.apr: not verified: "*receipt.jsonl* ]]
    [ "$(side t.apr .verified)" = false ]
    ldd "$APR_BIN/gguf2apr" | grep -q asan && return
    (ulimit -v 120000 && "$APR_BIN/gguf2apr" "$TOP/data/models/tiny-coder-29m-Q8_0.gguf" -o small.apr) 2>err
    grep -q '^gguf2apr: small.apr: not verified: .*memory\|needs [0-9]* bytes, [0-9]* available' err
    [ "$(side small.apr '[.verified,.tokenizer]')" = '[false,"equal"]' ]
    run -0 "$APR_BIN/apr-check" small.apr
}

@test "a chat format without a template is carried into formats that have templates alone" {
    "$APR_BIN/apr-random" --shape tiny-coder-29m -o f.apr
    "$APR_BIN/apr2gguf" f.apr -o f.gguf
    "$APR_BIN/apr2st" f.apr -o f
    [ "$(side f.gguf .chat)$(side f .chat)" = '"equal""equal"' ]
    jq -e '.chat_template | contains("<|im_start|>assistant")' f/tokenizer_config.json
    "$APR_BIN/gguf2apr" f.gguf -o back.apr
    "$APR_BIN/st2apr" f -o again.apr
    for f in back again; do
        [ "$(meta $f.apr | jq -c '[.chat_format, .receipt.chat]')" = '["chatml","equal"]' ]
    done
    "$APR_BIN/apr-diff" --json f.apr f.gguf >d.json || true
    jq -e '[.differences[] | select(.what | startswith("chat") or startswith("ids of"))] == []' d.json
}

@test "kill -9 at any time: a whole file or none" {
    for ms in 02 05 08 12 16 20 25 30 40; do
        rm -f k.apr
        "$APR_BIN/apr-quant" "$m" --type q8_0 -o k.apr &
        sleep "0.$ms"
        kill -9 $! 2>/dev/null || true
        wait $! 2>/dev/null || true
        [ ! -e k.apr ] || "$APR_BIN/apr-check" --json k.apr | jq -e '.container and .receipt_holds' >/dev/null
    done
    "$APR_BIN/apr-quant" "$m" --type q8_0 -o k.apr
    [ -z "$(ls | grep tmp)" ] # what was killed left is gone
}
