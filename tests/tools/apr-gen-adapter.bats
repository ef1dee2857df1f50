#!/usr/bin/env bats
# apr-gen --adapter - adapters beside the model: the text of the fused model, whatever runs beside, and whose prefix is whose
bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    "$APR_BIN/gguf2apr" "$BATS_TEST_DIRNAME/../../data/models/tiny-coder-29m-Q8_0.gguf" -o q.apr
    "$APR_BIN/apr-quant" q.apr --type f32 --requantize -o m.apr >/dev/null
    for i in 1 2 3 4 5 6 7 8; do
        printf '{"instruction":"Return %d.","response":"```python\\ndef f():\\n    return None\\n```"}\n' $i
    done >d.jsonl
    train() { "$APR_BIN/apr-lora" -q m.apr --data d.jsonl --batch 4 --schedule constant "$@"; }
    train -o a --rank 8 --lr 0.004 --max-steps 4 --precision bf16
    train -o b --rank 5 --rslora --targets q_proj,v_proj,down_proj --lr 0.006 --max-steps 3 --precision bf16
    train -o c --rank 3 --dora --lr 0.01 --max-steps 2
    "$APR_BIN/apr-prompt" --bench basic --limit 3 --max-tokens 10 -o p.jsonl
    # every prompt for the base and for each adapter, one after the other
    jq -c '(., (.adapter="a"), (.adapter="b"), (.adapter="c")) | .task_id += "/" + (.adapter // "")' p.jsonl >mix.jsonl
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    for f in m.apr q.apr a b p.jsonl mix.jsonl; do ln -s "$BATS_FILE_TMPDIR/$f" .; done
    x="$APR_BIN/apr-gen"
    all=(-m m.apr -a a -a b -a "c=$BATS_FILE_TMPDIR/c/")
}

@test "the greedy text of the model that apr-fuse makes; the base's own without a name" {
    "$x" "${all[@]}" mix.jsonl -o mix.out
    for n in a b c; do
        "$APR_BIN/apr-fuse" --no-verify m.apr --adapter "$BATS_FILE_TMPDIR/$n" -o f.apr >/dev/null
        "$x" -m f.apr p.jsonl | jq .text >want
        cmp want <(jq --arg n $n 'select(.adapter == $n).text' mix.out)
        [ "$(jq -r --arg n $n 'select(.adapter == $n).adapter_sha256' mix.out | sort -u)" = "$(sha256sum <"$BATS_FILE_TMPDIR/$n/adapter_model.safetensors" | cut -d' ' -f1)" ]
    done
    "$x" -m m.apr p.jsonl | jq -c 'del(.task_id)' >base
    cmp base <(jq -c 'select(.adapter | not) | del(.task_id)' mix.out)
    # they say different things
    [ "$(jq -c '[.text, .task_id[:7]]' mix.out | sort -u | wc -l)" -ge 7 ]
    # the sidecar names both files of each
    [ "$(jq '[.inputs[].path | select(test("adapter_"))] | length' mix.out.meta.json)" = 6 ]
}

# bats test_tags=long
@test "the same bytes for every batch, thread count and chunk, and alone" {
    "$x" "${all[@]}" mix.jsonl --ids --logprobs --batch 1 --threads 1 >want
    for o in "--batch 3 --threads 2" "--batch 8 --threads 1 --chunk 33 --no-share"; do
        "$x" "${all[@]}" mix.jsonl --ids --logprobs $o >got
        cmp want got || { echo "$o"; return 1; }
    done
    for n in a c; do
        "$x" -m m.apr -a "$BATS_FILE_TMPDIR/$n" <(jq -c --arg n $n 'select(.adapter == $n)' mix.jsonl) --ids --logprobs >got
        cmp got <(jq -c --arg n $n 'select(.adapter == $n)' want)
    done
    cmp <("$x" -m m.apr p.jsonl --ids --logprobs | jq -c 'del(.task_id)') <(jq -c 'select(.adapter | not) | del(.task_id)' want)
}

@test "over a quantized base: the same bytes alone and beside others" {
    "$x" -m q.apr -a a -a "$BATS_FILE_TMPDIR/c" --other-base <(jq -c 'select(.adapter != "b")' mix.jsonl) --temperature 0.8 --seed 3 --samples 2 --ids --batch 8 >mixed
    for n in a c; do
        "$x" -m q.apr -a "$BATS_FILE_TMPDIR/$n" --other-base <(jq -c --arg n $n 'select(.adapter == $n)' mix.jsonl) --temperature 0.8 --seed 3 --samples 2 --ids --batch 1 >alone
        cmp alone <(jq -c --arg n $n 'select(.adapter == $n)' mixed)
    done
}

@test "a prefix is shared within an adapter and never across" {
    header=$(printf 'Example %d: def f%d(x): return x + %d. ' $(for i in 1 2 3 4 5 6 7 8; do echo $i $i $i; done))
    jq -cn --arg t "$header" 'range(3) as $k | (null, "a", "b", "c") as $n | {prompt:"\($t) Now \($k)", task_id:"\($k)\($n)", adapter:$n, max_tokens:4}' >shots
    "$x" "${all[@]}" shots -v --logprobs >one 2>err
    [[ "$(cat err)" =~ ([0-9]+)" prompt tokens of which "([0-9]+)" shared" ]]
    shared=${BASH_REMATCH[2]} each=$((BASH_REMATCH[1] / 12))
    # 8 of the 12 take the header from one of their own kind; across kinds it would be 11
    [ "$shared" -gt $((each * 6)) ] && [ "$shared" -lt $((each * 8)) ]
    "$x" "${all[@]}" shots --no-share --logprobs >two
    cmp one two
    # the same file under two names is two adapters
    "$x" -m m.apr -a a -a z=a <(jq -cn --arg t "$header" '("a", "z") as $n | {prompt:$t, task_id:$n, adapter:$n, max_tokens:4}') -v >one 2>err
    [[ "$(cat err)" == *" of which 0 shared"* ]]
}

@test "an interrupted run goes on; another adapter under the name starts over" {
    "$x" -m m.apr -a a p.jsonl --default-adapter a -o r.jsonl
    dies() {
        "$x" -m m.apr -a a p.jsonl --default-adapter a -o k.jsonl --threads 1 --batch 1 &
        for _ in $(seq 500); do
            [ "$(wc -l 2>/dev/null <k.jsonl.part)" -ge 2 ] 2>/dev/null && break
            sleep 0.01
        done
        kill -9 $!
        wait $! || true
    }
    dies 2>/dev/null
    cp k.jsonl.part other.jsonl.part
    run --separate-stderr -0 "$x" -m m.apr -a a p.jsonl --default-adapter a -o k.jsonl
    [[ "$stderr" == *"resuming after"* ]]
    cmp r.jsonl k.jsonl
    run --separate-stderr -0 "$x" -m m.apr -a a=b p.jsonl --default-adapter a -o other.jsonl
    [[ "$stderr" != *"resuming"* ]]
    run ! cmp -s r.jsonl other.jsonl
}

@test "names: unknown, none, twice, the default, a folder's own; what is refused" {
    refused() { # CODE MESSAGE ARG...
        run --separate-stderr "-$1" "$x" "${@:3}"
        [[ "$stderr" == *"$2"* ]] || { echo "$stderr"; return 1; }
        [ -z "$output" ]
    }
    refused 65 "mix.jsonl:2: adapter 'a' is not loaded; loaded: none" -m m.apr mix.jsonl
    refused 65 "mix.jsonl:3: adapter 'b' is not loaded; loaded: a, x" -m m.apr -a a -a x=a mix.jsonl
    refused 65 "adapter: expected a string" -m m.apr -a a <(echo '{"prompt":"x","adapter":3}')
    refused 64 "the name is given twice" -m m.apr -a a -a a=b p.jsonl
    refused 64 "expected NAME=DIR" -m m.apr -a =b p.jsonl
    refused 64 "no --adapter of that name" -m m.apr -a a --default-adapter d p.jsonl
    refused 66 "nowhere/adapter_config.json" -m m.apr -a nowhere p.jsonl
    refused 65 "a: trained on weights" -m q.apr -a a p.jsonl
    "$x" -m m.apr -a a --default-adapter a p.jsonl -n 4 | jq -c .adapter | sort -u | cmp - <(echo '"a"')
    jq -c '.adapter = null' p.jsonl | "$x" -m m.apr -a a --default-adapter a -n 4 - | jq -e -s 'all(.adapter | not)'
}

@test "an adapter of what is no layer of its own, of another shape, not finite" {
    cat >edit.py <<'PY'
import json, struct, sys
b = open('a/adapter_model.safetensors', 'rb').read()
n = struct.unpack('<Q', b[:8])[0]
h, data = json.loads(b[8:8 + n]), bytearray(b[8 + n:])
exec(sys.argv[2])
t = json.dumps(h).encode()
open(sys.argv[1] + '/adapter_model.safetensors', 'wb').write(struct.pack('<Q', len(t)) + t + bytes(data))
PY
    bad() { # CHANGE MESSAGE
        mkdir -p e && cp a/adapter_config.json e/
        python3 edit.py e "$1"
        run --separate-stderr -65 "$x" -m m.apr -a e p.jsonl
        [[ "$stderr" == *"$2"* ]] || { echo "$stderr"; return 1; }
    }
    q=base_model.model.model.layers.0.self_attn.q_proj
    bad "[h.update({k.replace('$q', 'base_model.model.model.embed_tokens'): h.pop(k)}) for k in list(h) if '$q' in k]" "an adapter of model.embed_tokens.weight can only be merged"
    bad "[h.update({k.replace('$q', 'base_model.model.model.layers.99.self_attn.q_proj'): h.pop(k)}) for k in list(h) if '$q' in k]" "no tensor model.layers.99"
    bad "[h[k].update(shape=[h[k]['shape'][0] // 2, h[k]['shape'][1] * 2]) for k in list(h) if k == '$q.lora_B.weight']" "lora_B"
    bad "k = '$q.lora_B.weight'; data[h[k]['data_offsets'][0]:h[k]['data_offsets'][0] + 4] = b'\0\0\xc0\x7f'" "is not finite"
}
