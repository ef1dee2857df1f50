#!/usr/bin/env bats
# apr-plan - the plan against what the tools then took, and against the files that the tools then made
bats_require_minimum_version 1.5.0

setup_file() {
    export top="$BATS_TEST_DIRNAME/../.." m="$BATS_FILE_TMPDIR/m.apr" PATH="$APR_BIN:$PATH"
    gguf2apr "$top/data/models/tiny-coder-29m-Q8_0.gguf" -o "$m"
    # prompts whose tokens hardly repeat, samples that fill any length
    python3 - "$BATS_FILE_TMPDIR" <<'PY'
import json, random, sys
random.seed(2)
for n in (8192, 151936):
    with open("%s/ids-%d" % (sys.argv[1], n), "w") as f:
        print(*(random.randrange(300, n - 300) for _ in range(4800)), file=f)
with open(sys.argv[1] + "/long.jsonl", "w") as f:
    for i in range(16):
        words = " ".join("".join(random.choices("abcdefghijklmnop", k=6)) for _ in range(400))
        f.write(json.dumps({"instruction": "Write text %d." % i, "response": words}) + "\n")
PY
}

setup() {
    cd "$BATS_TEST_TMPDIR"
}

peak() { # peak COMMAND...: most KiB resident; its output goes to files
    python3 -c 'import resource, subprocess, sys
subprocess.check_call(sys.argv[1:], stdout=open("out", "w"), stderr=open("err", "w"))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$@"
}

near() { # near WHAT MEASURED PLANNED: within 3 %, said as a row of the table
    local off
    off=$(awk -v m="$2" -v p="$3" 'BEGIN {printf "%+.2f", 100 * (p - m) / m}')
    printf '# %-52s measured %8d KiB, planned %8d KiB: %s %%\n' "$1" "$2" "$3" "$off" >&3
    awk -v o="$off" 'BEGIN {exit !(o <= 3 && o >= -3)}'
}

measured() { # the rest of a test measures
    ! ldd "$APR_BIN/apr-gen" | grep -q libasan || skip "a sanitizer has memory of its own"
}

prompts() { # prompts MODEL N CHARS: N prompts of that model's tokens
    local i vocab
    vocab=$(apr-info "$1" --json | jq .hparams.vocab_size)
    for ((i = 0; i < $2; i++)); do
        cut -d' ' -f $((600 * i + 1))-$((600 * i + 600)) "$BATS_FILE_TMPDIR/ids-$vocab" | apr-tok "$1" -d |
            jq -Rsc --arg i $i --argjson n "$3" '{task_id: $i, prompt: .[:$n]}'
    done
}

generate() { # generate MODEL BATCH CHARS KV
    local kib ctx plan
    prompts "$1" "$2" "$3" >p.jsonl
    rm -f o.jsonl*
    kib=$(peak apr-gen -q -m "$1" --raw p.jsonl -n 8 --batch "$2" --kv-type "$4" -o o.jsonl)
    ctx=$(jq -s 'map(.prompt_tokens + .tokens_generated) | max' o.jsonl)
    plan=$(apr-plan "$1" --ctx "$ctx" --batch "$2" --kv-type "$4" --json | jq '.total_bytes / 1024 | floor')
    near "apr-gen $(basename "$1"), $2 of $ctx, $4" "$kib" "$plan"
}

train() { # train MODEL BATCH LENGTH OPTIONS...; METHOD=full: all weights
    local model=$1 batch=$2 len=$3 kib plan
    shift 3
    rm -rf a a.*
    kib=$(peak apr-lora -q "$model" ${METHOD:+--method $METHOD --no-verify} --data "$BATS_FILE_TMPDIR/long.jsonl" --batch "$batch" --max-seq-len "$len" --truncate --max-steps 1 --max-loss 0 -o a "$@")
    plan=$(apr-plan "$model" -m ${METHOD:-lora} --ctx "$len" --batch "$batch" "$@" --json | jq '.total_bytes / 1024 | floor')
    near "apr-lora ${METHOD:+$METHOD }$(basename "$model"), $batch of $len $*" "$kib" "$plan"
}

@test "inference of the built-in model: within 3 % of the measured peak" {
    measured
    generate "$m" 4 9000 f32
    generate "$m" 8 2000 f16
    generate "$m" 2 9000 q8_0
    apr-quant "$m" -t bf16 --requantize -o bf16.apr 2>/dev/null # floats: rows of the embedding come from the file
    generate bf16.apr 4 9000 f32
}

@test "training of the built-in model: within 3 % of the measured peak" {
    measured
    train "$m" 4 128
    train "$m" 8 128 --recompute
    train "$m" 4 128 --precision bf16 --rank 64 --dropout 0.1
    train "$m" 8 64 --targets q_proj,v_proj --precision bf16 --recompute
}

@test "training of all weights: within 3 % of the measured peak" {
    apr-quant "$m" -t bf16 --requantize -o bf16.apr 2>/dev/null
    measured
    METHOD=full train bf16.apr 4 128
    METHOD=full train bf16.apr 4 128 --recompute
    METHOD=full train bf16.apr 8 64 --precision bf16
}

@test "QLoRA: on NF4 weights, which are widened: within 3 %" {
    apr-quant "$m" -t nf4 --requantize -o nf4.apr 2>/dev/null
    [ "$(apr-plan nf4.apr -m qlora -b 4 -c 128 --json | jq .total_bytes)" = "$(apr-plan nf4.apr -m lora -b 4 -c 128 --json | jq .total_bytes)" ]
    measured
    train nf4.apr 4 128
}

@test "true shapes: within 3 % of the measured peak" {
    measured
    apr-random --shape qwen2.5-0.5b -t q4_k_m -o qwen2.5-0.5b.apr
    generate "$PWD/qwen2.5-0.5b.apr" 4 1500 f32
    rm qwen2.5-0.5b.apr
    apr-random --shape qwen3-0.6b -t q4_k_m -o qwen3-0.6b.apr
    generate "$PWD/qwen3-0.6b.apr" 2 1500 f16
    rm qwen3-0.6b.apr
}

@test "weights are exact, whatever describes the model" {
    bytes() { apr-plan "$@" --json | jq .tensor_bytes; }
    file() { apr-info "$1" --json | jq .tensor_bytes; }
    [ "$(bytes "$m")" = "$(file "$m")" ]
    [ "$(bytes "$top/data/models/tiny-coder-29m-Q8_0.gguf")" = "$(file "$m")" ]
    hf="$APR_SHARED/models/tiny-coder-29m/hf"
    [ -d "$hf" ] || skip "no folder of the built-in model"
    st2apr "$hf" -o hf.apr
    [ "$(bytes "$hf")" = "$(file hf.apr)" ]
    mkdir config
    cp "$hf/config.json" config
    [ "$(bytes config)" = "$(file hf.apr)" ]
    for t in q4_k_m q6_k f32; do
        apr-quant hf.apr -t $t -o q.apr
        [ "$(bytes config/config.json -t $t)" = "$(file q.apr)" ]
        [ "$(bytes "$hf" -t $t)" = "$(file q.apr)" ]
        # and what is loaded: all but the tokenizer and metadata, which are guessed from a config
        cmp <(apr-plan config -t $t --json | jq '.lines[] | select(.estimate | not) | select(.part != "other")') \
            <(apr-plan q.apr --json | jq '.lines[] | select(.estimate | not) | select(.part != "other")')
    done
}

@test "a 7B from its config.json alone" {
    cat >7b.json <<'J'
{"model_type":"qwen2","hidden_size":3584,"num_hidden_layers":28,"num_attention_heads":28,"num_key_value_heads":4,"intermediate_size":18944,
"vocab_size":152064,"max_position_embeddings":32768,"rope_theta":1000000.0,"rms_norm_eps":1e-6,"hidden_act":"silu","torch_dtype":"bfloat16","tie_word_embeddings":false}
J
    [ "$(apr-plan 7b.json -t q4_k_m --json --vram 1000 | jq .tensor_bytes)" = 4677120000 ]
    run -0 apr-plan 7b.json --vram 1000
    [[ "$output" == *"file "*" 15231233024  all tensors"* ]]
    run -1 apr-plan 7b.json --vram 1
    [[ "$output" == *"more than the 0.93 GiB available" ]]
    # more context, sequences, rank: more bytes; smaller numbers: fewer
    of() { apr-plan 7b.json -t q4_k_m --vram 1000 --json "$@" | jq ."$part"; }
    part=kv_bytes
    [ "$(of -c 4096)" -gt "$(of -c 2048)" ]
    [ "$(of -b 8)" -gt "$(of -b 4)" ]
    [ "$(of --kv-type f16)" -lt "$(of)" ]
    part=optimizer_bytes
    [ "$(of -m lora -r 64)" = $((4 * $(of -m lora -r 16))) ]
    part=activation_bytes
    [ "$(of -m lora --recompute)" -lt "$(of -m lora)" ]
}

@test "auto takes the first that fits: all weights, adapters, adapters on NF4" {
    method() { apr-plan "$m" -m auto --json "$@" | jq -r .method; }
    total() { apr-plan "$m" -m "$1" --json | jq '.total_bytes / 1e9 + 0.01'; }
    [ "$(method --vram 100)" = full ]
    [ "$(method --vram "$(total lora)")" = lora ]
    run -1 apr-plan "$m" -m auto --vram 0.01 --json
    [ "$(jq -c '[.method, .fits]' <<<"$output")" = '["qlora",false]' ]
    run -0 apr-plan "$m" -m full --vram 100
    [[ "$output" == *"16777216  the largest tensor, to be saved"* ]]
}

@test "exit codes" {
    run -64 apr-plan
    run -64 apr-plan "$m" -m magic
    run -64 apr-plan "$m" -c 100000
    run -64 apr-plan "$m" -m lora --targets nothing
    run -66 apr-plan none.apr
    run -69 apr-plan "$m" --device nowhere
    echo '{"model_type":"mamba"}' >c.json
    run -65 apr-plan c.json
    [[ "$output" == *c.json*model_type*mamba* ]]
    echo '{' >d.json
    run -65 apr-plan d.json
    head -c 1000 "$m" >cut.apr
    run -65 apr-plan cut.apr
    run -74 bash -c "apr-plan '$m' >/dev/full"
}
