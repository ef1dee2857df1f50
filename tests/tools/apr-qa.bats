#!/usr/bin/env bats
# apr-qa - the twelve gates on the built-in model, each made to fail or to be skipped
bats_require_minimum_version 1.5.0

setup_file() {
    export top="$BATS_TEST_DIRNAME/../.." m="$BATS_FILE_TMPDIR/m.apr" PATH="$APR_BIN:$PATH"
    gguf2apr "$top/data/models/tiny-coder-29m-Q8_0.gguf" -o "$m"
    export t="$BATS_FILE_TMPDIR/t.apr" # two layers of random weights: quick
    gguf2apr "$top/tests/vectors/tiny.gguf" -o "$t"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    # only NAME...: all other gates are left out
    all="capability contract metadata golden throughput regression format-parity gpu-speedup ollama ptx-parity gpu-state classifier"
}

only() {
    local g o="--min-executed=1"
    for g in $all; do
        [[ " $* " == *" $g "* ]] || o+=" --skip-$g"
    done
    echo "$o"
}

gate() { # gate NAME FIELD: of the report in $output
    jq -r --arg n "$1" ".gates[] | select(.name == \$n) | .$2" <<<"$output"
}

@test "the built-in model passes; what has no peer is skipped with its reason" {
    run --separate-stderr -0 apr-qa "$m" --json
    [ "$(jq -c '[.schema, .name, .architecture, .passed, .gates_failed, (.gates | length)]' <<<"$output")" = \
        '["qa/1","tiny-coder-29m","qwen2",true,0,12]' ]
    [ "$(jq -r '[.gates[] | select(.status == "pass") | .name] | join(" ")' <<<"$output")" = \
        "capability_match tensor_contract metadata_plausibility golden_output throughput format_parity" ]
    # ollama may be there
    [ "$(jq -r '[.gates[] | select(.status == "skip") | .name] | join(" ")' <<<"$output")" = \
        "performance_regression gpu_speedup ollama_parity ptx_parity gpu_state_isolation classifier_head" ]
    [ "$(gate golden_output value)" = 2 ]
    [[ "$(gate gpu_speedup message)" == *"no device"* ]]
    [[ "$(gate format_parity message)" == "GGUF: "*"logits equal to the bit" ]]
    [ "$(jq '[.gates[] | select(.status == "skip" and (.value != null or .message == ""))] | length' <<<"$output")" = 0 ]
    [ ! -e "${TMPDIR:-/tmp}"/apr-qa.* ]
}

@test "as text, into a file with its sidecar; the front's name" {
    run --separate-stderr -0 apr qa "$m" $(only metadata contract)
    [ "${#lines[@]}" = 13 ]
    [ "${lines[12]}" = "passed: 2 gates run, 0 failed, 10 skipped" ]
    [[ "${lines[3]}" == "  skip golden_output "*"not asked for" ]]
    apr-qa "$m" $(only metadata) --json -o r.json
    [ "$(jq -r .tool r.json.meta.json)" = apr-qa ]
}

@test "every gate has its option; too few gates are no pass" {
    for g in $all; do
        apr-qa --options=json | jq -e '.options[] | select(.name == "skip-'$g'")' >/dev/null
    done
    run --separate-stderr -1 apr-qa "$m" $(only metadata contract) --min-executed 3
    [[ "$output" == *"FAILED: 2 gates run, 0 failed, 10 skipped: too few"* ]]
    run --separate-stderr -1 apr-qa "$m" $(only nothing)
}

@test "throughput, and what was lost since an earlier report" {
    run --separate-stderr -1 apr-qa "$t" $(only throughput) --assert-tps 1e8 --json
    [ "$(gate throughput status)" = fail ]
    apr-qa "$t" $(only throughput contract) --json -o r.json
    jq -c '(.gates[] | select(.name == "throughput") | .value) *= 0.01' r.json >slow.json
    jq -c '(.gates[] | select(.name == "throughput") | .value) *= 1000' r.json >fast.json
    run --separate-stderr -0 apr-qa "$t" $(only throughput regression) --previous-report slow.json --json
    [ "$(gate performance_regression status)" = pass ]
    run --separate-stderr -1 apr-qa "$t" $(only throughput regression) --previous-report fast.json --json
    [ "$(gate performance_regression status)" = fail ]
    run --separate-stderr -0 apr-qa "$t" $(only throughput regression) --previous-report fast.json --regression-threshold 1
    # another device or no figure: nothing to compare
    jq -c '.device = "cpu:other"' slow.json >other.json
    run --separate-stderr -0 apr-qa "$t" $(only throughput regression) --previous-report other.json --json
    [ "$(gate performance_regression status)" = skip ]
    run --separate-stderr -0 apr-qa "$t" $(only contract regression) --previous-report slow.json --json
    [ "$(gate performance_regression status)" = skip ]
    # what passed then and fails now
    jq -c '(.gates[] | select(.name == "golden_output")) += {status: "pass"}' slow.json >golden.json
    run --separate-stderr -1 apr-qa "$t" $(only throughput golden regression) --previous-report golden.json --json
    [[ "$(gate performance_regression message)" == "golden_output passed in the earlier report"* ]]
    # another model's report is none
    jq -c '.param_count += 1' r.json >model.json
    run --separate-stderr -65 apr-qa "$t" --previous-report model.json
    [[ "$stderr" == *"another model"* ]]
    echo '{}' >none.json
    run --separate-stderr -65 apr-qa "$t" --previous-report none.json
    run --separate-stderr -66 apr-qa "$t" --previous-report nothing.json
}

# bats test_tags=long
@test "golden answers: a wrong one fails and is shown; whole texts" {
    sed 's/x % 2 != 0/x % 2 == 0/' "$top/configs/qa.yaml" >wrong.yaml
    run --separate-stderr -1 apr-qa "$m" --gates wrong.yaml $(only golden)
    [[ "$output" == *"1 of 2 answers as they must be"*"expected a text with"*"select_odd"* ]]
    sed 's/expect: "    return \[x.*/text: "```python\\ndef select_odd(numbers):\\n    \\"\\"\\"\\n    Returns the odd numbers in numbers, in their original order.\\n    \\"\\"\\"\\n    return [x for x in numbers if x % 2 != 0]\\n```"/' "$top/configs/qa.yaml" >text.yaml
    run --separate-stderr -0 apr-qa "$m" --gates text.yaml $(only golden)
    # a model without cases of its own gets those of any model that chats; random weights say something else
    apr-random --shape tiny-coder-29m -t q8_0 -o random.apr
    run --separate-stderr -1 apr-qa random.apr $(only golden) --json
    [[ "$(gate golden_output message)" == "0 of 2 answers"*"What is 2 + 2"* ]]
    sed 's/model: tiny-coder-29m/model: random/' "$top/configs/qa.yaml" >random.yaml
    run --separate-stderr -1 apr-qa random.apr --gates random.yaml $(only golden) --json
    [[ "$(gate golden_output message)" == "0 of 2 answers"*"x % 2 != 0"* ]]
}

@test "formats: rounded weights are near, what is too far fails, another tokenizer is told apart" {
    local source="$top/tests/vectors/tiny.gguf"
    run --separate-stderr -0 apr-qa "$t" $(only format-parity) --safetensors-path "$source" --json
    [[ "$(gate format_parity message)" == "GGUF: "*"equal to the bit; "*"tiny.gguf: "*"equal to the bit" ]]
    apr-quant "$t" -t bf16 --requantize -o b.apr 2>/dev/null
    run --separate-stderr -0 apr-qa b.apr $(only format-parity) --safetensors-path "$source" --json
    [[ "$(gate format_parity message)" == *"SafeTensors: "*"equal to the bit; "*"least cosine 0.99"* ]]
    apr-quant "$t" -t q4_0 --requantize -o q.apr 2>/dev/null
    sed '/^format_parity:/,/^gpu:/s/min_cosine: .*/min_cosine: 1/' "$top/configs/qa.yaml" >strict.yaml
    run --separate-stderr -1 apr-qa q.apr --gates strict.yaml $(only format-parity) --safetensors-path "$source" --json
    [[ "$(gate format_parity message)" == "GGUF: "*"equal to the bit; "*"tiny.gguf: "*"least cosine 0.9"* ]]
    run --separate-stderr -1 apr-qa "$m" $(only format-parity) --safetensors-path "$source" --json
    [[ "$(gate format_parity message)" == *"other token ids"* ]]
    run --separate-stderr -1 apr-qa "$m" $(only format-parity) --safetensors-path nothing --json
    [ "$(gate format_parity status)" = fail ]
    apr-quant "$t" -t nf4 --requantize -o nf4.apr 2>/dev/null
    run --separate-stderr -1 apr-qa nf4.apr $(only format-parity) --json
    [ "$(gate format_parity status)" = skip ]
}

@test "the gates of a GPU, on a device that stands in for one" {
    run --separate-stderr -0 apr-qa "$t" $(only ptx-parity gpu-state gpu-speedup) --gpu-device cpu:generic --assert-gpu-speedup 0.001 --iterations 1 --json
    [ "$(jq -r '[.gates[] | select(.status == "pass") | .name] | join(" ")' <<<"$output")" = "gpu_speedup ptx_parity gpu_state_isolation" ]
    [ "$(gate gpu_state_isolation value)" = 4 ]
    run --separate-stderr -1 apr-qa "$t" $(only gpu-speedup) --gpu-device cpu:generic --assert-gpu-speedup 1000 --iterations 1 --json
    [ "$(gate gpu_speedup status)" = fail ]
    # ref does not round activations: near, not equal; and a threshold of 1 is not met
    sed '/^gpu:/,$s/min_cosine: .*/min_cosine: 1/' "$top/configs/qa.yaml" >strict.yaml
    run --separate-stderr -1 apr-qa "$t" --gates strict.yaml $(only ptx-parity) --gpu-device ref --json
    [ "$(jq '.gates[] | select(.name == "ptx_parity") | .value < 1 and .value > 0.99' <<<"$output")" = true ]
}

@test "ollama, played by a script" {
    mkdir bin
    cat >bin/ollama <<'S'
#!/bin/sh
[ "$1" = --version ] && exit 0
[ "$1 $2 $3" = "run --verbose tiny" ] || { echo "no model $3" >&2; exit 1; }
echo "def add(a, b): return a + b"
printf 'prompt eval rate:     1.00 tokens/s\neval count:           10 token(s)\neval rate:            %s tokens/s\n' "$RATE" >&2
S
    chmod +x bin/ollama
    export PATH="$PWD/bin:$PATH"
    RATE=0.5 run --separate-stderr -0 apr-qa "$t" $(only ollama) --ollama tiny --json
    [ "$(gate ollama_parity status)" = pass ]
    RATE=1000000000000.5 run --separate-stderr -1 apr-qa "$t" $(only ollama) --ollama tiny --json
    [ "$(gate ollama_parity status)" = fail ]
    RATE=none run --separate-stderr -1 apr-qa "$t" $(only ollama) --ollama tiny
    [[ "$output" == *"did not say its eval rate"* ]]
    run --separate-stderr -1 apr-qa "$t" $(only ollama) --ollama other
    [[ "$output" == *"no model other"* ]]
    run --separate-stderr -1 apr-qa "$t" $(only ollama) --json
    [ "$(gate ollama_parity status)" = skip ]
}

@test "a damaged file fails every gate that needs it" {
    cp "$m" flip.apr
    printf '\125' | dd of=flip.apr bs=1 seek=20000000 conv=notrunc status=none
    run --separate-stderr -1 apr-qa flip.apr --json
    [ "$(gate tensor_contract status),$(gate capability_match status),$(gate golden_output status)" = fail,fail,fail ]
    head -c 5000000 "$m" >cut.apr
    run --separate-stderr -1 apr-qa cut.apr --json
    [ "$(jq .gates_failed <<<"$output")" = 11 ]
}

@test "numbers that a converter loses: Qwen with a RoPE base of 10000" {
    run --separate-stderr -1 apr-qa "$t" $(only metadata)
    [[ "$output" == *"rope_theta 10000: qwen2 has 100000 to 1e+08"* ]]
}

@test "thresholds: every key is needed, no other is known" {
    for bad in '/min_tok_s/d' 's/min_tok_s: 1/min_tok_s: fast/' 's/min_tok_s: 1/min_tok_s: -1/' 's/^throughput:/thruput:/' \
        's/schema: .*/schema: qa\/9/' 's/expect: "4"/expect: ""/' 's/max_drop: 0.1/max_drop: 2/' '/- prompt: "What/d'; do
        sed "$bad" "$top/configs/qa.yaml" >bad.yaml
        run --separate-stderr -78 apr-qa "$m" --gates bad.yaml
        [[ "$stderr" == "apr-qa: bad.yaml:"* ]] || { echo "$bad: $stderr"; return 1; }
    done
}

@test "exit codes" {
    run -64 apr-qa
    run -64 apr-qa a b
    run -66 apr-qa none.apr
    run -66 apr-qa "$m" --gates none.yaml
    run -69 apr-qa "$m" --device nowhere
    run -74 bash -c "apr-qa '$m' $(only metadata) >/dev/full"
}
