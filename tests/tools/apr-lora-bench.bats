#!/usr/bin/env bats
# apr-lora --eval-bench - pass@1 of a benchmark while training: the chain, the best weights, patience, resume, failures
bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    "$APR_BIN/gguf2apr" -q "$TOP/tests/vectors/tiny.gguf" -o m.apr
    # every answer is right to one of two problems, none to the other
    cat >b.jsonl <<'END'
{"task_id":"B/0","prompt":"def f(x):\n    \"\"\"anything\"\"\"\n","entry_point":"f","canonical_solution":"    return x\n","test":"def check(candidate):\n    pass\n"}
{"task_id":"B/1","prompt":"def g(x):\n    \"\"\"the same\"\"\"\n","entry_point":"g","canonical_solution":"    return x\n","test":"def check(candidate):\n    assert candidate(3) == 3\n"}
END
    for i in $(seq 24); do printf '{"instruction":"say %d","response":"yes %d"}\n' "$i" "$i"; done >d.jsonl
    head -8 d.jsonl >v.jsonl
    # other tools beside apr-lora: a score by number of call, from the file `scores`; "die" fails
    mkdir bin
    cp "$APR_BIN/apr-lora" bin/
    for t in apr-prompt apr-gen apr-extract apr-sandbox; do
        printf '#!/bin/sh\ncat >/dev/null\n' >bin/$t
        chmod +x bin/$t
    done
    cat >bin/passk <<'END'
#!/bin/sh
cat >/dev/null
n=$(cat calls 2>/dev/null || echo 0)
echo $((n + 1)) >calls
s=$(cut -d' ' -f$((n + 1)) scores)
[ "$s" != die ] || { echo "passk: no verdicts" >&2; exit 65; }
echo "{\"schema\":\"score/1\",\"value\":0.$s,\"passed\":$s,\"n_task\":10,\"harness_errors\":0}"
END
    chmod +x bin/passk
}

setup() {
    cp -r "$BATS_FILE_TMPDIR"/{m.apr,b.jsonl,d.jsonl,v.jsonl,bin} "$BATS_TEST_TMPDIR"
    cd "$BATS_TEST_TMPDIR"
    ln -s "$TOP/configs" configs
    x="$APR_BIN/apr-lora"
    opts=(m.apr --data d.jsonl --lr 1e-2 --batch 4 --eval-bench b.jsonl --eval-every 2) # 6 steps, 4 scores
}

@test "the score is that of the chain by hand, with the adapter and with the whole model" {
    run --separate-stderr -0 "$x" "${opts[@]}" --val v.jsonl -o a --metrics a.jsonl
    [[ "$stderr" == *"step 6: b.jsonl: "*" of 2, pass@1 "* ]]
    [ "$(jq -c 'select(.event=="bench") | [.step, .bench, .n_task]' a.jsonl | paste -sd' ')" = '[0,"b.jsonl",2] [2,"b.jsonl",2] [4,"b.jsonl",2] [6,"b.jsonl",2]' ]
    [ "$(jq -c 'select(.event=="epoch") | .step' a.jsonl | paste -sd' ')" = "0 2 4 6" ]
    by_hand() { "$APR_BIN/apr-prompt" --bench b.jsonl | "$APR_BIN/apr-gen" -q -m "$@" | "$APR_BIN/apr-extract" -q | "$APR_BIN/apr-sandbox" -q --bench b.jsonl | "$APR_BIN/passk" --json --bench b.jsonl | jq .value; }
    [ "$(jq -s 'map(select(.event=="bench"))[-1].pass_at_1' a.jsonl)" = "$(by_hand m.apr --adapter t=a --default-adapter t)" ]
    "$x" -q "${opts[@]}" --method full --max-steps 2 --no-verify -o f.apr --metrics f.jsonl
    [ "$(jq -s 'map(select(.event=="bench"))[-1].pass_at_1' f.jsonl)" = "$(by_hand f.apr)" ]
    # what is trained is the same without it
    "$x" -q m.apr --data d.jsonl --lr 1e-2 --batch 4 -o b
    cmp a/adapter_model.safetensors b/adapter_model.safetensors
    [ -z "$(find . -name '*.ckpt' -o -name '*.tmp.*')" ]
}

@test "the highest pass@1 is kept, an equal one later is not; patience" {
    echo 1 5 5 2 >scores
    run --separate-stderr -0 bin/apr-lora "${opts[@]}" --val v.jsonl --keep best -o a --metrics a.jsonl
    [[ "$stderr" == *"kept: step 2, pass@1 0.5"* ]]
    "$x" -q m.apr --data d.jsonl --lr 1e-2 --batch 4 --max-steps 2 --schedule constant -o two
    "$x" -q m.apr --data d.jsonl --lr 1e-2 --batch 4 --schedule constant -o all
    rm calls
    bin/apr-lora -q "${opts[@]}" --schedule constant --keep best -o c
    cmp two/adapter_model.safetensors c/adapter_model.safetensors
    rm calls
    run --separate-stderr -0 bin/apr-lora "${opts[@]}" --schedule constant --keep best --patience 1 -o d
    [[ "$stderr" == *"step 4: no higher pass@1 than 0.5000 of step 2: stopped"* ]]
    cmp two/adapter_model.safetensors d/adapter_model.safetensors
    run --separate-stderr -64 "$x" m.apr --data d.jsonl --keep best -o e
    [[ "$stderr" == *"--eval-bench"* ]]
}

@test "a chain that fails is an error with its tool; the checkpoint stays, and the run goes on from there" {
    for keep in last best; do
        rm -f calls log.jsonl* whole.jsonl*
        echo 1 5 3 2 >scores
        bin/apr-lora -q "${opts[@]}" --keep $keep --save-every 1 -o whole --metrics whole.jsonl
        echo 1 5 die 3 2 >scores
        rm calls
        run --separate-stderr -65 bin/apr-lora "${opts[@]}" --keep $keep --save-every 1 -o a --metrics log.jsonl
        [[ "$stderr" == *"apr-lora: step 4: benchmark b.jsonl: passk ended with 65: passk: no verdicts" ]]
        [ ! -e a ] && [ -e a.ckpt ] && [ -z "$(find . -name '*.tmp.*')" ]
        run --separate-stderr -0 bin/apr-lora "${opts[@]}" --keep $keep --save-every 1 -o a --metrics log.jsonl
        [[ "$stderr" == *"going on after step 3 of a.ckpt"* ]]
        cmp whole/adapter_model.safetensors a/adapter_model.safetensors
        cmp whole.jsonl log.jsonl
        rm -r a whole
    done
}

@test "the first tool that failed is named: no such benchmark, no such tool, one that dies" {
    run --separate-stderr -66 "$x" "${opts[@]}" --eval-bench nosuch -o a
    [[ "$stderr" == *"step 0: benchmark nosuch: apr-prompt ended with 66: apr-prompt: "* ]]
    printf '#!/bin/sh\nkill -9 $$\n' >bin/apr-extract
    echo 1 >scores
    run --separate-stderr -70 bin/apr-lora "${opts[@]}" -o a
    [[ "$stderr" == *"benchmark b.jsonl: apr-extract died by signal 9"* ]]
    rm bin/apr-gen
    run --separate-stderr -69 bin/apr-lora "${opts[@]}" -o a
    [[ "$stderr" == *"apr-gen: not beside this program"* ]]
    [ ! -e a ] && [ -z "$(find . -name '*.tmp.*')" ]
}

@test "kill -9: its tools end with it" {
    printf '#!/bin/sh\necho $$ >gen.pid\nexec sleep 60\n' >bin/apr-gen
    bin/apr-lora -q "${opts[@]}" -o a 3>&- &
    pid=$!
    while [ ! -s gen.pid ]; do sleep 0.05; done
    kill -9 $pid
    wait $pid || true
    for _ in $(seq 100); do [ -e "/proc/$(cat gen.pid)" ] || break; sleep 0.05; done
    [ ! -e "/proc/$(cat gen.pid)" ]
}
