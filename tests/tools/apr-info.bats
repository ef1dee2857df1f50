#!/usr/bin/env bats
# apr-info - what is in a model
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-info"
    v="$TOP/tests/vectors"
}

@test "three formats of one model agree" {
    "$APR_BIN/gguf2apr" "$v/tiny.gguf" -o m.apr
    for f in m.apr "$v/tiny.gguf" "$v/tiny-hf" "$v/tiny-hf/model.safetensors"; do
        run --separate-stderr -0 "$x" "$f" --json
        [ "$(jq -c '[.param_count, .hparams.hidden_size, .hparams.num_layers, .hparams.vocab_size, .hparams.rope_theta]' <<<"$output")" = '[27936,32,2,288,10000]' ] || { echo "$f: $output"; return 1; }
    done
    run -0 "$x" m.apr --json
    [ "$(jq -c '[.format, .tokens, (.tensors | length), .provenance[0].tool]' <<<"$output")" = '["apr",275,27,"gguf2apr"]' ]
    [ "$(jq -c '.tensors[] | select(.name == "model.layers.0.mlp.down_proj.weight")' <<<"$output")" = '{"name":"model.layers.0.mlp.down_proj.weight","type":"Q8_0","shape":[32,64],"bytes":2176}' ]
}

@test "for people: architecture, counts, every tensor" {
    run --separate-stderr -0 "$x" "$v/tiny.gguf"
    [[ "$output" == *"qwen2, 2 layers, width 32"* ]]
    [[ "$output" == *"27936 in 26 tensors"* ]]
    [[ "$output" == *"Q8_0"*"(64, 32)"*"blk.0.ffn_gate.weight"* ]]
}

@test "--map: every byte of the files, once, in order" {
    "$APR_BIN/gguf2apr" -q "$v/tiny.gguf" -o m.apr
    "$APR_BIN/apr2gguf" -q m.apr -o s.gguf --split-max-tensors 10
    "$APR_BIN/apr2st" -q m.apr -o d --split-max-tensors 10
    for f in m.apr "$v/tiny.gguf" s-00001-of-00003.gguf "$v/tiny-hf" d; do
        "$x" "$f" --map --json >map.json
        jq -e --argjson n "$("$x" "$f" --json | jq '[.file_bytes, (.tensors | length)]')" '
            (group_by(.file) | map(reduce .[] as $r (0; if . == $r.offset then . + $r.bytes else error("gap") end)) | add) == $n[0]
            and (map(select(.what == "tensor")) | length) == $n[1]' map.json
        [ "$("$x" "$f" --map | grep -vc '^file')" = "$(jq length map.json)" ]
    done
    run -0 "$x" m.apr --map
    [[ "${lines[0]}" == "             0             64  header" && "${lines[1]}" == "            64 "*"metadata" ]]
    # what the row says is there
    read -r off n < <(jq -r '.[] | select(.name == "model.norm.weight") | "\(.offset) \(.bytes)"' <("$x" m.apr --map --json))
    "$APR_BIN/apr2st" -q m.apr -o one
    read -r at k < <(jq -r '.[] | select(.name == "model.norm.weight") | "\(.offset) \(.bytes)"' <("$x" one --map --json))
    cmp <(tail -c +$((off + 1)) m.apr | head -c "$n") <(tail -c +$((at + 1)) one/model.safetensors | head -c "$k")
}

@test "an unknown architecture is shown with the reason" {
    sed 's/qwen2/gemma/g' "$v/tiny.gguf" >g.gguf
    run --separate-stderr -0 "$x" g.gguf --json
    [ "$(jq -r .hparams <<<"$output")" = null ]
    [[ "$(jq -r .hparams_error <<<"$output")" == *gemma* ]]
}

@test "usage 64, nothing there 66, damage 65, full disk 74" {
    run -64 "$x"
    run -64 "$x" a b
    run --separate-stderr -66 "$x" nowhere.apr
    [[ "$stderr" == "apr-info: nowhere.apr: "* ]]
    head -c 3000 "$v/tiny.gguf" >cut.gguf
    run --separate-stderr -65 "$x" cut.gguf
    [[ "$stderr" == "apr-info: cut.gguf: truncated"* ]]
    "$APR_BIN/gguf2apr" "$v/tiny.gguf" -o m.apr
    head -c 20000 m.apr >cut.apr
    run --separate-stderr -65 "$x" cut.apr
    [ -z "$output" ]
    : >empty
    run -65 "$x" empty
    run -74 bash -c "'$x' '$v/tiny.gguf' >/dev/full"
}
