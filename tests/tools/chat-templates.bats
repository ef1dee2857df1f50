#!/usr/bin/env bats
# chat templates through the tools: what cannot be rendered is refused at import; what can is what models are asked and
# taught with
bats_require_minimum_version 1.5.0

setup() {
    top=$TOP
    cd "$BATS_TEST_TMPDIR"
}

# the tiny model with another template
with_template() {
    cp -r "$top/tests/vectors/tiny-hf" "$2"
    jq --rawfile t "$1" '.chat_template = $t' "$2/tokenizer_config.json" >$2.json && mv $2.json "$2/tokenizer_config.json"
}

meta() {
    tail -c +65 "$1" | head -c "$(od -An -tu4 -j20 -N4 "$1" | tr -d ' ')"
}

@test "st2apr refuses a template that is not supported, with construct and line" {
    printf '{%% for m in messages %%}\n{{ m.content | from_json }}\n{%% endfor %%}' >bad
    with_template bad hf
    run --separate-stderr -65 "$APR_BIN/st2apr" hf -o m.apr
    [[ "$stderr" == *"hf: chat template:2: the filter 'from_json' is not supported" ]]
    [ ! -e m.apr ]
    printf '\n\n{%% include "x" %%}' >hf/chat_template.jinja
    run --separate-stderr -65 "$APR_BIN/st2apr" hf -o m.apr
    [[ "$stderr" == *"hf: chat template:3: the tag 'include' is not supported" ]]
}

@test "gguf2apr refuses a template that is not supported, with construct and line" {
    LC_ALL=C sed 's/{%- for message in/{%- fox message in/' "$top/tests/vectors/tiny.gguf" >bad.gguf
    run cmp -s bad.gguf "$top/tests/vectors/tiny.gguf"
    [ $status = 1 ]
    run --separate-stderr -65 "$APR_BIN/gguf2apr" bad.gguf -o m.apr
    [[ "$stderr" == *"bad.gguf: chat template:1: the tag 'fox' is not supported" ]]
    [ ! -e m.apr ]
}

@test "prompts are what the template makes of them" {
    cp "$top/tests/vectors/chat/templates/mistral-nemo.jinja" t
    with_template t hf
    "$APR_BIN/st2apr" hf -o m.apr
    meta m.apr | jq -e '(.chat_template | length > 1000) and .chat_format == null'
    one() { "$APR_BIN/apr-gen" -m m.apr -n 6 <<<"$1" | jq -r '[.text,.prompt_tokens]|@json'; }
    turns='{"role":"user","content":"a"},{"role":"assistant","content":"b"}'
    text='[INST]a[/INST]b<|im_end|>[INST]s

c[/INST]'
    [ "$(one '{"system":"s","messages":['"$turns"'],"prompt":"c"}')" = "$(one "$(jq -cn --arg t "$text" '{prompt: $t, template: "raw"}')")" ]
    # what the template refuses is the record's error
    run --separate-stderr -65 "$APR_BIN/apr-gen" -m m.apr <<<'{"messages":[{"role":"user","content":"a"}],"prompt":"b"}'
    [[ "$stderr" == *":1: "*"chat template:"*"the template refuses: "*"must alternate"* ]]
}

@test "a model is taught with its own template" {
    printf '%s' "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}" >t
    with_template t hf
    "$APR_BIN/st2apr" hf -o m.apr
    printf '{"instruction":" ab ","response":"c<|im_end|>"}\n' >d.jsonl
    "$APR_BIN/apr-lora" m.apr --data d.jsonl -o l --max-steps 1 -q --metrics metrics
    [ -s l/adapter_model.safetensors ]
    # one that drops the answer is no template to train with
    printf "{{ messages[0].content }}" >t
    rm -r hf
    with_template t hf
    "$APR_BIN/st2apr" hf -o m.apr
    run --separate-stderr -65 "$APR_BIN/apr-lora" m.apr --data d.jsonl -o l2 --max-steps 1 -q
    [[ "$stderr" == *"d.jsonl:1: "*"the chat template drops the answer"* ]]
}
