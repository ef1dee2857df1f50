#!/usr/bin/env bats
# apr-gen - equal bytes whatever the batch, resume after kill -9, ends, every exit code
bats_require_minimum_version 1.5.0

setup_file() {
    export top="$BATS_TEST_DIRNAME/../.." m="$BATS_FILE_TMPDIR/m.apr"
    "$APR_BIN/gguf2apr" "$top/data/models/tiny-coder-29m-Q8_0.gguf" -o "$m"
    "$APR_BIN/apr-prompt" --bench basic --limit 6 --max-tokens 16 -o "$BATS_FILE_TMPDIR/p.jsonl"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-gen"
    p="$BATS_FILE_TMPDIR/p.jsonl"
}

@test "samples in the order of the prompts, one record each" {
    run --separate-stderr -0 "$x" -m "$m" "$p"
    [ "${#lines[@]}" = 6 ]
    [ "$(jq -r .task_id <<<"$output" | paste -sd' ')" = "Basic/0 Basic/1 Basic/2 Basic/3 Basic/4 Basic/5" ]
    [ "$(jq -c '[.schema,.sample,.bench,.tokens_generated,.prompt_tokens,.finish,.exact]' <<<"${lines[0]}")" = \
        '["sample/1",0,"basic",16,85,"length",true]' ]
    [ "$(jq -r .text <<<"${lines[0]}" | head -2)" = $'```python\ndef f(n):' ]
    [ -z "$stderr" ]
}

# bats test_tags=long
@test "the same bytes for every batch, thread count, chunk and instruction set" {
    head -3 "$p" >p
    "$x" -m "$m" p -n 12 --ids --logprobs --temperature 0.8 --top-p 0.95 --samples 2 --seed 7 >want
    for o in "--batch 1" "--batch 3" "--threads 1" "--threads 2 --chunk 16" "--device cpu:avx2 --batch 12" "--device cpu:avx512" "--exact --chunk 1" "--device cuda --exact"; do
        "$x" -m "$m" p -n 12 --ids --logprobs --temperature 0.8 --top-p 0.95 --samples 2 --seed 7 $o >got || {
            [ $? = 69 ] && continue # an instruction set that this machine lacks
            return 1
        }
        cmp want got || { echo "$o"; return 1; }
    done
    "$x" -m "$m" p -n 12 --temperature 0.8 --top-p 0.95 --samples 2 --seed 8 >other
    run ! cmp -s <(jq -r .text want) <(jq -r .text other)
}

@test "a model in q4_k_m: the same bytes alone and in a batch" {
    "$APR_BIN/apr-quant" "$m" --type q4_k_m --requantize -o k.apr
    head -2 "$p" >p
    "$x" -m k.apr p -n 4 --samples 4 --temperature 0.8 --seed 7 --ids --batch 1 >want
    [ "$(wc -l <want)" = 8 ]
    cmp want <("$x" -m k.apr p -n 4 --samples 4 --temperature 0.8 --seed 7 --ids --batch 8 --threads 1)
}

@test "contexts up to the model's limit: the last position is used, one more is refused" {
    limit=$("$APR_BIN/apr-info" "$m" --json | jq .hparams.max_position_embeddings)
    # a raw prompt of one-token words up to four positions before the end
    printf ' if%.0s' $(seq $((limit - 4))) >text
    [ "$("$APR_BIN/apr-tok" "$m" --count text)" = $((limit - 4)) ]
    jq -cn --rawfile t text '{prompt:$t,template:"raw",task_id:"long"}' >long
    "$x" -m "$m" long -n 100 --no-share --chunk 100 >a
    [ "$(jq -c '[.finish,.prompt_tokens+.tokens_generated]' a)" = "[\"context\",$limit]" ]
    jq -c '.max_tokens = 4' "$p" >>long # beside short ones
    "$x" -m "$m" long -n 100 --batch 4 --threads 1 >b
    cmp <(head -1 b) a
    printf ' if%.0s' $(seq "$limit") >text
    run --separate-stderr -65 "$x" -m "$m" <(jq -cn --rawfile t text '{prompt:$t,template:"raw"}')
    [[ "$stderr" == *"the prompt has $limit tokens, the context $limit positions" ]]
}

@test "a header that prompts share is computed once" {
    header=$(printf 'Example %d: def f%d(x): return x + %d. ' $(for i in 1 2 3 4 5 6 7 8; do echo $i $i $i; done))
    for i in 1 2 3 4 5 6 7 8; do jq -cn --arg t "$header Now $i" --arg id "$i" '{prompt:$t,task_id:$id,max_tokens:4}'; done >shots
    "$x" -m "$m" shots -v >a 2>err
    [[ "$(cat err)" =~ ([0-9]+)" prompt tokens of which "([0-9]+)" shared" ]]
    all=${BASH_REMATCH[1]} shared=${BASH_REMATCH[2]}
    # of 8 prompts 7 take the header, nearly all of a prompt, from the first
    [ $((shared * 10)) -ge $((all * 8)) ] && [ $((shared * 8)) -le $((all * 7)) ]
    "$x" -m "$m" shots -v --no-share >b 2>err
    [[ "$(cat err)" == *" of which 0 shared"* ]]
    cmp a b
    cmp a <("$x" -m "$m" shots --batch 3)
}

@test "71: what cannot fit is refused before the start, with its line and both numbers" {
    ldd "$x" | grep -q libasan && skip "a sanitizer needs address space of its own"
    head -2 "$p" | jq -c '.max_tokens = 10' >two
    jq -cn '{prompt:"hi",task_id:"big",max_tokens:2000}' >>two
    # the limit at which the short ones fit and the long one does not
    for kb in $(seq 100000 6000 400000); do
        if ! (ulimit -v $kb; "$x" -m "$m" two --threads 1 --batch 1 --chunk 64 -o out >log 2>&1) && grep -q "two:3: " log; then
            [[ "$(cat log)" =~ two:3:" the prompt and its answer need "[0-9]+" bytes of KV cache beside "[0-9]+" for a batch of 1, "[0-9]+" available" ]]
            [ ! -e out ] && [ ! -e out.part ]
            return 0
        fi
    done
    cat log
    return 1
}

@test "the batch follows the requests and the memory, and is said with -v" {
    "$x" -m "$m" "$p" -v -n 2 2>err >a
    [[ "$(cat err)" =~ "at most 6 answers at a time, "[0-9]+" KV blocks, "[0-9]+" bytes of "[0-9]+" available" ]]
    "$x" -m "$m" "$p" -v -n 2 --batch 2 2>err | cmp - a
    [[ "$(cat err)" == *"at most 2 answers at a time"* ]]
    run -64 "$x" -m "$m" "$p" --batch 2000
}

@test "two at once on the same processors: both end, with the same bytes" {
    "$x" -m "$m" "$p" --threads 2 >want
    timeout 300 "$x" -m "$m" "$p" --threads 2 >a & one=$!
    timeout 300 "$x" -m "$m" "$p" --threads 2 >b & two=$!
    wait $one && wait $two
    cmp want a && cmp want b
    APR_PIN=0 "$x" -m "$m" "$p" | cmp - want
}

@test "a sample does not depend on what else is asked" {
    "$x" -m "$m" "$p" --temperature 1 --seed 3 >all
    tail -1 "$p" | "$x" -m "$m" - --temperature 1 --seed 3 --batch 1 >one
    cmp <(tail -1 all) one
    "$x" -m "$m" "$p" --temperature 1 --seed 3 --unordered --batch 2 | sort >sorted
    cmp <(sort all) sorted
}

@test "bare records: the line number is the key, the record's max_tokens holds" {
    printf '{"prompt":"a"}\n{"prompt":"b","task_id":"t","max_tokens":3}\n{"prompt":"c","task_id":9001}\n' |
        "$x" -m "$m" -n 2 >out
    [ "$(jq -c '[.task_id,.tokens_generated]' out | paste -sd' ')" = '["1",2] ["t",3] ["9001",2]' ]
}

@test "the model may be the operand, the prompts an option; one prompt on the command line" {
    "$x" "$m" --prompts "$p" >a
    "$x" -m "$m" "$p" >b
    cmp a b
    run --separate-stderr -0 "$x" -m "$m" -p "Write a function." -n 4 --text
    [ "${lines[0]}" = '```python' ]
}

@test "stop strings cut, a prefill begins the text, raw prompts have no frame" {
    run -0 "$x" -m "$m" "$p" -n 24 --stop "(n)"
    [ "$(jq -c '[.text,.finish]' <<<"${lines[0]}")" = '["```python\ndef f","stop"]' ]
    head -1 "$p" >one
    run -0 "$x" -m "$m" one --prefill $'```python\n'
    [[ "$(jq -r .text <<<"$output")" == $'```python\n'* ]]
    [ "$(jq .prompt_tokens <<<"$output")" -gt 85 ]
    run -0 "$x" -m "$m" --raw -p 'def add(a, b):' -n 8
    [ "$(jq .prompt_tokens <<<"$output")" -lt 10 ]
    run -0 "$x" -m "$m" -p hi --ctx 32
    [ "$(jq -r '[.finish,(.prompt_tokens+.tokens_generated)]|@csv' <<<"$output")" = '"context",32' ] ||
        [ "$(jq -r .finish <<<"$output")" = stop ]
}

@test "ids, log-probabilities and times on demand" {
    run -0 "$x" -m "$m" -p hi -n 3 --ids --logprobs --timings
    jq -e '(.ids|length)==3 and (.logprobs|length)==3 and ((.logprobs|add)-.logprob_sum|fabs)<1e-4 and .tok_per_sec>0
        and .inference_ms>0' <<<"$output"
}

@test "kill -9, run again: the same file as without" {
    "$x" -m "$m" "$p" --samples 3 --temperature 0.5 -o whole.jsonl
    [ -f whole.jsonl.meta.json ] && [ ! -e whole.jsonl.part ]
    [ "$(jq -r .sha256 whole.jsonl.meta.json)" = "$(sha256sum <whole.jsonl | cut -d' ' -f1)" ]
    "$x" -m "$m" "$p" --samples 3 --temperature 0.5 -o s.jsonl --batch 1 &
    pid=$!
    while [ "$(cat s.jsonl.part 2>/dev/null | wc -l)" -lt 3 ] && kill -0 $pid; do sleep 0.02; done
    run -75 "$x" -m "$m" "$p" --samples 3 --temperature 0.5 -o s.jsonl
    kill -9 $pid || true
    wait $pid || true
    [ ! -e s.jsonl ] && [ -s s.jsonl.part ]
    printf '{"torn' >>s.jsonl.part
    kept=$(($(grep -c task_id s.jsonl.part)))
    run --separate-stderr -0 "$x" -m "$m" "$p" --samples 3 --temperature 0.5 -o s.jsonl
    [[ "$stderr" == *"resuming after $kept of 18 samples"* ]]
    cmp whole.jsonl s.jsonl
}

@test "other options start a part over" {
    head -2 "$p" >two
    printf '# apr-gen 1 0000\n{"task_id":"Basic/0","sample":0}\n' >s.jsonl.part
    run --separate-stderr -0 "$x" -m "$m" two -o s.jsonl
    [ -z "$stderr" ]
    [ "$(wc -l <s.jsonl)" = 2 ]
}

@test "64: no model, two prompt files, a bad number" {
    run -64 "$x"
    run -64 "$x" -m "$m" a b
    run -64 "$x" -m "$m" --temperature -1
    run -64 "$x" -m "$m" -p hi --ctx 100000
}

@test "65: a prompt longer than the context names the line and both numbers" {
    run --separate-stderr -65 "$x" -m "$m" "$p" --ctx 60 -o s.jsonl
    [[ "$stderr" == *"p.jsonl:1: the prompt has 85 tokens, the context 60 positions" ]]
    [ ! -e s.jsonl ] && [ ! -e s.jsonl.part ]
}

@test "65: damaged records and models" {
    run --separate-stderr -65 "$x" -m "$m" <<<'{"prompt":1}'
    [[ "$stderr" == *"-:1: "* ]]
    run -65 "$x" -m "$m" <<<'{"task_id":"a"}'
    for id in 1.5 1e300 true; do
        run --separate-stderr -65 "$x" -m "$m" <<<'{"prompt":"a","task_id":'$id'}'
        [[ "$stderr" == *"-:1: task_id: expected a string or a whole number" ]]
    done
    run -65 "$x" -m "$m" <<<'{"schema":"prompt/2","prompt":"a"}'
    printf '{"prompt":"a","task_id":"t"}\n{"prompt":"b","task_id":"t"}\n' >twice
    run --separate-stderr -65 "$x" -m "$m" twice
    [[ "$stderr" == *"twice:2: task_id t, sample 0 is on line 1 too" ]]
    printf '{"prompt":"a"}' >torn
    run -65 "$x" -m "$m" torn
    head -c 1000000 "$m" >cut.apr
    run -65 "$x" -m cut.apr -p hi
    run -65 "$x" -m "$p" -p hi
}

@test "66, 69, 71, 73, 74" {
    run -66 "$x" -m none.apr -p hi
    run -66 "$x" -m "$m" none.jsonl
    run --separate-stderr -69 "$x" -m "$m" -p hi --device nowhere
    if [ ! -e /proc/driver/nvidia ]; then # what is missing is said: the card, or nvcc when this was built
        run --separate-stderr -69 "$x" -m "$m" -p hi --device cuda
        [[ "$stderr" == *"device cuda: "*"no NVIDIA driver"* || "$stderr" == *"this build has no lib/apr/cuda.so"* ]]
    fi
    if ! ldd "$x" | grep -q libasan; then # a sanitizer needs address space of its own
        run --separate-stderr -71 bash -c "ulimit -v 60000; '$x' -m '$m' -p hi --threads 1"
        [[ "$stderr" =~ "needs "[0-9]+" bytes, "[0-9]+" available" ]]
    fi
    run -73 "$x" -m "$m" -p hi -n 1 -o no/such/folder
    run -74 bash -c "'$x' -m '$m' -p hi -n 1 >/dev/full"
}

@test "no prompts, no samples" {
    "$x" -m "$m" <(true) -o s.jsonl
    [ -f s.jsonl ] && [ ! -s s.jsonl ]
}

@test "a conversation: system, messages and prompt are its turns" {
    turns='{"role":"user","content":"a"},{"role":"assistant","content":"b"}'
    one() { "$x" -m "$m" -n 6 <<<"$1" | jq -r '[.text,.prompt_tokens]|@json'; }
    want=$(one '{"system":"s","messages":['"$turns"'],"prompt":"c"}')
    [ "$(one '{"messages":[{"role":"system","content":"s"},'"$turns"'],"prompt":"c"}')" = "$want" ]
    [ "$(one '{"messages":[{"role":"system","content":"s"},'"$turns"',{"role":"user","content":"c"}]}')" = "$want" ]
    [ "$(one '{"system":"s","messages":[],"prompt":"c"}')" = "$(one '{"system":"s","messages":null,"prompt":"c"}')" ]
    [ "$(one '{"system":"s","prompt":"c"}')" != "$want" ]
    # the ids are those of the text that the template makes of it
    text=$'<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n'
    [ "$(jq -cn --arg t "$text" '{prompt:$t,template:"raw"}' | "$x" -m "$m" -n 6 | jq -r '[.text,.prompt_tokens]|@json')" = "$want" ]
    for bad in '{"messages":7}' '{"messages":[7]}' '{"messages":[{"role":"user"}]}' '{"messages":[{"role":"tool","content":"a"}]}' \
        '{"messages":['"$turns"']}' '{"system":"s"}' '{"system":7,"prompt":"c"}' '{"messages":['"$turns"'],"prompt":"c","template":"raw"}'; do
        run --separate-stderr -65 "$x" -m "$m" <<<"$bad"
        [[ "$stderr" == *"standard input:1: "* || "$stderr" == *"-:1: "* ]] || { echo "$bad: $stderr"; return 1; }
    done
}

# the tiny model with Qwen3's two marks and the end of its template
think_model() {
    cp -r "$top/tests/vectors/tiny-hf" hf
    jq '.added_tokens += [["<think>",275],["</think>",276] | {id: .[1], content: .[0], single_word: false, lstrip: false,
        rstrip: false, normalized: false, special: false}]' hf/tokenizer.json >t && mv t hf/tokenizer.json
    jq '.chat_template += "{%- if enable_thinking is false %}{{- \u0027<think>\\n\\n</think>\\n\\n\u0027 }}{%- endif %}"' \
        hf/tokenizer_config.json >t && mv t hf/tokenizer_config.json
    "$APR_BIN/st2apr" hf -o think.apr
}

@test "thinking off is the template's empty block, on and auto add nothing" {
    think_model
    for t in auto on off; do "$x" -m think.apr -p hi -n 6 --thinking $t >$t; done
    cmp auto on
    frame=$'<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n'
    cmp on <("$x" -m think.apr --raw -p "$frame" -n 6)
    cmp off <("$x" -m think.apr --raw -p "$frame"$'<think>\n\n</think>\n\n' -n 6)
    cmp <("$x" -m think.apr -p hi --prefill 'ab' -n 6 --thinking off) \
        <("$x" -m think.apr --raw -p "$frame"$'<think>\n\n</think>\n\n' --prefill ab -n 6)
    run --separate-stderr -65 "$x" -m think.apr -p hi --prefill ab --thinking on
    [[ "$stderr" == *"an answer that has a prefill cannot begin with thinking" ]]
    cmp <("$x" -m "$m" -p hi -n 6 --thinking off) <("$x" -m "$m" -p hi -n 6)
    run --separate-stderr -65 "$x" -m "$m" -p hi --thinking on
    [[ "$stderr" == *"m.apr cannot think: its tokenizer and template have no <think> and </think>" ]]
    run -64 "$x" -m "$m" -p hi --thinking maybe
}

@test "an answer that ends inside its thinking says so" {
    think_model
    run -0 "$x" -m think.apr --raw -p 'hi<think>' -n 5
    [ "$(jq -c '[.text,(.thinking|length),.thinking_open,.tokens_generated]' <<<"$output")" = '["",5,true,5]' ]
    run -0 "$x" -m think.apr --raw -p 'hi<think>' -n 8 --think-budget 3
    [ "$(jq -c '[(.text|length),(.thinking|length),.thinking_open,.tokens_generated]' <<<"$output")" = '[4,3,null,8]' ]
    run -0 "$x" -m think.apr --raw -p 'hi' -n 5
    [ "$(jq -c '[(.text|length),.thinking,.thinking_open]' <<<"$output")" = '[5,null,null]' ]
}

@test "samples: numbered from the prompt's number, one computation of the prompt, the same alone and together" {
    head -2 "$p" >two
    "$x" -m "$m" two --samples 4 --temperature 0.8 --seed 5 -v >four 2>err
    [ "$(jq -c '[.task_id,.sample]' four | tr -d '\n')" = \
      '["Basic/0",0]["Basic/0",1]["Basic/0",2]["Basic/0",3]["Basic/1",0]["Basic/1",1]["Basic/1",2]["Basic/1",3]' ]
    [ "$(jq -r 'select(.task_id=="Basic/0") | .text | @json' four | sort -u | wc -l)" -gt 1 ]
    # of 4 prompts each 3 take all but the last token from the first
    n=($(jq 'select(.sample==0).prompt_tokens' four))
    [[ "$(cat err)" =~ ([0-9]+)" prompt tokens of which "([0-9]+)" shared" ]]
    [ "${BASH_REMATCH[1]}" = $((4 * (n[0] + n[1]))) ]
    [ "${BASH_REMATCH[2]}" -ge $((3 * (n[0] - 1 + n[1] - 1))) ]
    for b in 1 8; do cmp four <("$x" -m "$m" two --samples 4 --temperature 0.8 --seed 5 --batch $b); done
    # prompts that carry the numbers, in any order, give the same
    jq -c '.sample = (3, 1, 0, 2)' two >numbered
    cmp <(sort four) <("$x" -m "$m" numbered --temperature 0.8 --seed 5 | sort)
    # and N samples of prompt s are s*N to s*N+N-1
    "$x" -m "$m" <(jq -c '.sample = (0, 1)' two) --samples 2 --temperature 0.8 --seed 5 >pairs
    cmp four pairs
    cmp <(jq -c 'select(.sample==2)' four) <("$x" -m "$m" <(jq -c '.sample = 2' two) --temperature 0.8 --seed 5)
}
