#!/usr/bin/env bats
# apr-parity - devices compared op by op; thresholds that are missed; the gate and its cache; device auto
bats_require_minimum_version 1.5.0

setup_file() {
    export top="$BATS_TEST_DIRNAME/../.." m="$BATS_FILE_TMPDIR/m.apr" PATH="$APR_BIN:$PATH"
    gguf2apr "$top/data/models/tiny-coder-29m-Q8_0.gguf" -o "$m"
    export t="$BATS_FILE_TMPDIR/t.apr" # two layers of random weights: quick
    gguf2apr "$top/tests/vectors/tiny.gguf" -o "$t"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    export XDG_CACHE_HOME="$PWD/cache"
}

# bats test_tags=long
@test "the exact arithmetic on another path: every op, layer and logit has the bits of the CPU's" {
    run --separate-stderr -0 apr-parity "$m" --device cpu:generic --against cpu --positions 32 --json
    [ "$(jq -c '[.schema, .device, .passed, .positions, .singly, (.peers | length)]' <<<"$output")" = \
        '["parity/1","cpu:generic",true,32,8,1]' ]
    [ "$(jq -r '[.peers[0].ops[].name] | join(" ")' <<<"$output")" = \
        "embedding attention_norm q k v rope qkv attention attention_output ffn_norm gate up activation down ffn layer head" ]
    [ "$(jq -c '[.peers[0].ops[], .peers[0].layers[], .peers[0].logits] | map(.equal == .positions and .cosine == 1) | all' <<<"$output")" = true ]
    [ "$(jq -c '[(.peers[0].layers | length), .peers[0].logits.same_token, .peers[0].logits.first_difference]' <<<"$output")" = '[8,32,null]' ]
    [ "$(jq -r '.model_sha256 | length' <<<"$output")" = 64 ]
}

# bats test_tags=long
@test "against ref in double: near, not equal, with the layer that is farthest off" {
    run --separate-stderr -0 apr-parity "$m" --device cpu:avx2 --against ref --positions 32 -o r.txt
    [ "$(head -n 1 r.txt)" = "$m on cpu:avx2: 32 positions, 8 of them one by one" ]
    grep -qE '^  ffn  +0\.999[0-9]+ .* 0 of 256 equal, worst in layer [0-7]$' r.txt
    [ "$(tail -n 1 r.txt)" = passed ]
    [ "$(jq -r .tool r.txt.meta.json)" = apr-parity ]
}

@test "cpu:float: products in f32, near double and not what the CPU does otherwise" {
    run --separate-stderr -0 apr-parity "$m" --device ref --against cpu:float --logits --positions 32 --json
    [ "$(jq -c '[.passed, .peers[0].device, .peers[0].limits.logits]' <<<"$output")" = '[true,"cpu:float",0.9995]' ]
    [ "$(jq -c '.peers[0].logits.cosine > 0.999999' <<<"$output")" = true ]
    run --separate-stderr apr-parity "$m" --device cpu --against cpu:float --logits --positions 32 --json
    [ "$(jq -c '[.peers[0].logits.cosine > 0.99, .peers[0].logits.equal]' <<<"$output")" = '[true,0]' ]
}

@test "threads change no number" {
    apr-parity "$t" --device cpu:avx2 --against ref --threads 1 --json | jq 'del(.seconds)' >1
    apr-parity "$t" --device cpu:avx2 --against ref --threads 2 --json | jq 'del(.seconds)' >2
    cmp 1 2
}

@test "a missed threshold: 69, the report, and which" {
    sed 's/^\( *\)logits: 0.99$/\1logits: 1/' "$top/configs/parity.yaml" >strict.yaml
    run --separate-stderr -69 apr-parity "$m" --device cpu --against ref --logits --positions 32 --limits strict.yaml --json
    [ "$(jq -c '[.passed, .peers[0].passed]' <<<"$output")" = '[false,false]' ]
    [[ "$(jq -r '.peers[0].missed' <<<"$output")" == "logits: cosine 0.999"*", expected 1" ]]
    [[ "$stderr" == *"does not compute what ref does: logits: cosine"* ]]
    # another arithmetic in place of the exact one: found in the first op that rounds
    sed '/^rounded:/,/^ref:/s/bits: 0/bits: 1/' "$top/configs/parity.yaml" >bits.yaml
    run --separate-stderr -69 apr-parity "$t" --device ref --against cpu --limits bits.yaml
    [[ "$output" == *"missed: attention_norm of layer "*"FAILED" ]]
}

@test "the gate: passed once, remembered for this model and these thresholds, not for others" {
    run -0 apr-parity "$t" --device ref:q --gate
    [[ "${lines[-1]}" == passed ]]
    [ "$(ls cache/apr/parity | wc -l)" = 1 ]
    [ "$(jq -c '[.schema, .passed, .device]' cache/apr/parity/*.json)" = '["parity/1",true,"ref:q"]' ]
    run -0 apr-parity "$t" --device ref:q --gate
    [[ "$output" == "passed before: "* ]]
    sed 's/^singly: 8/singly: 4/' "$top/configs/parity.yaml" >other.yaml
    run -0 apr-parity "$t" --device ref:q --gate --limits other.yaml
    [[ "${lines[-1]}" == passed ]]
    run -0 apr-parity "$m" --device cpu:avx2 --gate
    [[ "${lines[-1]}" == passed ]]
    [ "$(ls cache/apr/parity | wc -l)" = 3 ]
    for f in cache/apr/parity/*.json; do echo '{"schema":"parity/1","passed":' >"$f"; done # torn: not believed
    run -0 apr-parity "$t" --device ref:q --gate
    [[ "${lines[-1]}" == passed ]]
}

@test "the gate fails: 69, nothing is remembered" {
    sed '/^rounded:/,/^ref:/s/bits: 0/bits: 1/' "$top/configs/parity.yaml" >bits.yaml
    for i in 1 2; do
        run --separate-stderr -69 apr-parity "$t" --device ref --gate --limits bits.yaml
        [[ "$stderr" == *"t.apr on ref does not compute what cpu"*"(apr-parity)" ]]
        [ -z "$(ls cache/apr/parity)" ]
    done
}

@test "a model without tokenizer; a cache that cannot be written" {
    apr-random -q --type q4_0 -o r.apr
    XDG_CACHE_HOME=/proc/none run -0 apr-parity "$t" --device ref:q --gate
    run -0 apr-parity r.apr --device cpu:avx2 --against cpu --logits --positions 32
}

@test "device auto: the first that works, and why not those before" {
    run --separate-stderr -0 apr-gen -m "$t" -p abc --raw --max-tokens 4 --device auto
    [[ "$stderr" == *"device auto: "* ]]
    [ -n "$(jq -r .text <<<"$output")" ]
    if [ ! -e /dev/nvidia0 ]; then
        [[ "$stderr" == *"device auto: not cuda: "*"device auto: not vulkan: "*"device auto: cpu"* ]]
        run --separate-stderr -69 apr-gen -m "$t" -p abc --raw --device cuda
    fi
    run --separate-stderr -0 apr-gen -q -m "$t" -p abc --raw --max-tokens 4 --device auto
    [ -z "$stderr" ]
    run -66 apr-gen -m none.apr -p abc --device auto
}

@test "exit codes" {
    run -64 apr-parity
    run -64 apr-parity a b
    run -64 apr-parity "$t" --positions 8
    run -64 apr-parity "$t" --gate --logits
    run -64 apr-parity "$t" --against cpu --against ref --against ref:q
    run -66 apr-parity none.apr --device cpu
    run -69 apr-parity "$t" --device nowhere
    run -69 apr-parity "$t" --device cpu --against nowhere
    run -66 apr-parity "$t" --device cpu --limits none.yaml
    grep -v '^singly' "$top/configs/parity.yaml" >short.yaml
    run -78 apr-parity "$t" --device cpu --limits short.yaml
    [[ "$output" == *"short.yaml:"*"singly: missing"* ]]
    sed 's/^positions: 160/positions: 8/' "$top/configs/parity.yaml" >few.yaml
    run -78 apr-parity "$t" --device cpu --limits few.yaml
    head -c 100000 "$m" >cut.apr
    run -65 apr-parity cut.apr --device cpu
}
