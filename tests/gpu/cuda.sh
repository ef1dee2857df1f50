#!/bin/bash
# cuda - the CUDA device on a machine with a card: every op, whole models, both modes, speed
#
#     tests/gpu/cuda.sh [PART...]          parts: ops, golden, model, default, train, sanitize, speed, steps
#                                          (default: all but sanitize)
#
# From the tree, or from a kit (make gpu-kit: a folder for a machine without compiler).  Needs bash, awk, cmp.
#     ops       test_ops, test_layer and test_adapt: each op, type and shape against ref; of cuda:exact the bits of ref:q
#     golden    cuda:exact: the models of golden.tar.xz (APR_SHARED/golden) to transformers' logits and greedy tokens
#     model     cuda:exact: greedy completions of the built-in model and of random models of each type, and perplexity, against
#               the CPU's, in batches of 1, 7 and 64, with each type of KV cache: equal files
#     default   cuda: apr-parity's thresholds; the same texts in batches of 1, 7, 64 and 256, with other steps, with and
#               without shared prefixes; how many are other texts than the exact ones
#     train     test_train and test_group; apr-lora's losses beside the CPU's: f32 within 1e-4, bf16 within 1 %; twice the
#               same bits, with --recompute too; on weights of four bits the same
#     sanitize  compute-sanitizer's memcheck and racecheck over the ops (TESTS: which)
#     speed     random weights of true shapes: DIR (default: a temporary folder) keeps them; MODELS="7b 1.5b"
#     steps     tokens/s of training and the card's memory, LoRA of rank 16 on all layers, B8 x T1024 in bf16, as speed;
#               WAYS: apr-lora's options, divided by commas
# Exit 1 if a part fails.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ -d "$here/bin" ]; then # a kit
    bin=$here/bin tests=$here/tests/kernels data=$here/data
    export LD_LIBRARY_PATH=$here/lib
else
    top=$(cd "$here/../.." && pwd)
    bin=$top/build/bin tests=$(cd "$top/build/bin" && cd .. && pwd -P)/tests/kernels data=$top/data/models
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
TINY=${TINY:-$data/tiny-coder-29m-Q8_0.gguf}
DIR=${DIR:-$tmp} MODELS=${MODELS:-7b 1.5b}
failed=0
bad() {
    echo "FAILED: $*"
    failed=1
}

ops() {
    local dev t
    for dev in cuda cuda:exact; do
        for t in test_ops test_layer test_adapt; do
            "$tests/$t" $dev >"$tmp/$t.log" || bad "$t"
            grep -E '^(not ok|Bail|# )' "$tmp/$t.log" | head -n 40
            echo "$t $dev: $(grep -c '^ok' "$tmp/$t.log") ok, $(grep -c '^not ok' "$tmp/$t.log") not"
        done
    done
}

golden() {
    local t=$tests/test_golden
    [ -e "$t" ] || t=$tests/../unit/test_golden
    "$t" cuda:exact >"$tmp/golden.log" || bad golden
    grep -E '^(not ok|# )|transformers' "$tmp/golden.log" | head -n 40
    echo "golden cuda:exact: $(grep -c '^ok' "$tmp/golden.log") ok ($(grep -c '# SKIP' "$tmp/golden.log") of them skipped), $(grep -c '^not ok' "$tmp/golden.log") not"
}

sanitize() {
    for tool in memcheck racecheck; do
        for t in ${TESTS:-test_ops test_layer test_adapt test_train test_group}; do
            compute-sanitizer --tool $tool --error-exitcode 9 "$tests/$t" ${SANITIZE:-cuda} >"$tmp/$t.$tool" 2>&1 || bad "$t under $tool"
            grep -E '=========' "$tmp/$t.$tool" | tail -n 3
        done
    done
}

# texts of the default mode: NAME OPTIONS...
texts() {
    local name=$1
    shift
    "$bin/apr-gen" -m "$tmp/tiny.apr" "$data/prompts.jsonl" --ids --device cuda "$@" -o "$tmp/$name" 2>"$tmp/err" || { cat "$tmp/err"; bad "apr-gen cuda $*"; }
}

default() {
    local i=0 o
    [ -e "$tmp/tiny.apr" ] || "$bin/gguf2apr" "$TINY" -o "$tmp/tiny.apr" || bad gguf2apr
    "$bin/apr-parity" "$tmp/tiny.apr" --device cuda || bad "apr-parity cuda"
    texts first.jsonl --batch 64
    grep -c '"exact":false' "$tmp/first.jsonl"
    for o in "--batch 1" "--batch 7" "--batch 256" "--batch 64 --chunk 64" "--batch 64 --chunk 100 --no-share"; do
        texts "$((++i)).jsonl" $o
        if cmp -s "$tmp/first.jsonl" "$tmp/$i.jsonl"; then
            echo "equal: default mode, $o ($(wc -l <"$tmp/$i.jsonl") completions)"
        else
            bad "default mode, $o: $(diff "$tmp/first.jsonl" "$tmp/$i.jsonl" | grep -c '^<') completions differ"
        fi
    done
    texts exact.jsonl --batch 64 --exact
    [ -z "${KEEP:-}" ] || cp "$tmp/first.jsonl" "$tmp/exact.jsonl" "$KEEP" # to be judged where a sandbox is
    sed -i 's/"exact":[a-z]*//' "$tmp/first.jsonl" "$tmp/exact.jsonl"
    echo "other texts than with --exact: $(diff "$tmp/first.jsonl" "$tmp/exact.jsonl" | grep -c '^<')"
}

# losses of apr-lora: NAME MODEL OPTIONS...
losses() {
    local name=$1 model=$2
    shift 2
    "$bin/apr-lora" -q "$model" --data "$tmp/train.jsonl" -o "$tmp/adapter" --max-steps 20 --max-loss 0 --lr 1e-3 --save-every 0 --metrics "$tmp/$name.jsonl" "$@" 2>"$tmp/err" || { cat "$tmp/err"; bad "apr-lora $*"; }
    rm -rf "$tmp/adapter"
    grep -o '"loss":[0-9.e-]*' "$tmp/$name.jsonl" | cut -d: -f2 >"$tmp/$name"
}

# the card's losses beside the CPU's: NAME MODEL OPTIONS...
near() {
    local p=$1
    losses cpu.$p "${@:2}"
    losses cuda.$p "${@:2}" --device cuda
    losses again.$p "${@:2}" --device cuda --recompute
    cmp "$tmp/cuda.$p" "$tmp/again.$p" || bad "$p: two runs on the card differ"
    paste "$tmp/cpu.$p" "$tmp/cuda.$p" | awk -v p=$p -v most=$([ $p = f32 ] && echo 1e-4 || echo 0.01) '
        { d = $1 > $2 ? $1 - $2 : $2 - $1; d = p == "f32" ? d : d / $1; worst = d > worst ? d : worst }
        END { print p ": " NR " losses, the last " $1 " and " $2 ", apart at most " worst; exit !(NR && worst <= most) }' || bad "losses: $p"
}

train() {
    local t p
    for t in test_train test_group; do
        "$tests/$t" cuda >"$tmp/$t.log" || bad "$t"
        grep -E '^(not ok|Bail|# )' "$tmp/$t.log" | head -n 40
        echo "$t: $(grep -c '^ok' "$tmp/$t.log") ok, $(grep -c '^not ok' "$tmp/$t.log") not"
    done
    [ -e "$tmp/tiny.apr" ] || "$bin/gguf2apr" "$TINY" -o "$tmp/tiny.apr" || bad gguf2apr
    zcat "$data/../train/basic-finetune.jsonl.gz" | head -n 400 >"$tmp/train.jsonl"
    for p in f32 bf16; do
        near $p "$tmp/tiny.apr" --precision $p
    done
    "$bin/apr-random" -q --type q4_k_m -o "$tmp/q4.apr" || bad "apr-random q4_k_m"
    near q4 "$tmp/q4.apr" --precision bf16 --max-steps 3
}

# the most of the card's memory that is used while COMMAND runs, behind the last line of what it prints
watched() {
    local pid
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -lms 100 >"$tmp/memory" &
    pid=$!
    "$@" >"$tmp/said" 2>&1 || { bad "$*"; tail -n 5 "$tmp/said"; }
    kill $pid
    wait $pid 2>/dev/null
    grep -E "${SHOW:-tokens/s}" "$tmp/said"
    echo "$(sort -n "$tmp/memory" | tail -n 1) MiB of the card's memory at most"
}

steps() {
    local m way ways
    zcat "$data/../train/basic-finetune.jsonl.gz" | sed -E 's/^\{"instruction"/{"text"/; s/"response"/"more"/' >"$tmp/text.jsonl"
    IFS=, read -ra ways <<<"${WAYS:-,--recompute}"
    for m in $MODELS; do
        [ -e "$DIR/train-$m.apr" ] || "$bin/apr-random" -q --shape qwen2.5-$m --type ${TYPE:-bf16} -o "$DIR/train-$m.apr" || bad "apr-random $m"
        for way in "${ways[@]}"; do
            echo "$m ${TYPE:-bf16} $way"
            watched "$bin/apr-lora" -v "$DIR/train-$m.apr" --data "$tmp/text.jsonl" --task pretrain -o "$tmp/adapter" --max-steps ${STEPS:-12} --batch 8 --max-seq-len 1024 --pack 8192 --max-loss 0 --save-every 0 --metrics "$tmp/steps.jsonl" --device cuda --precision bf16 $way
            rm -rf "$tmp/adapter"
        done
    done
}

# two devices, one file: MODEL PROMPTS OPTIONS...
same() {
    local m=$1 prompts=$2 dev
    shift 2
    for dev in cpu cuda:exact; do
        "$bin/apr-gen" -m "$m" "$prompts" --ids --device $dev "$@" -o "$tmp/$dev.jsonl" 2>"$tmp/err" || { cat "$tmp/err"; bad "apr-gen $dev $m $*"; return; }
    done
    if diff <(sed 's/"seconds":[^,}]*//' "$tmp/cpu.jsonl") <(sed 's/"seconds":[^,}]*//' "$tmp/cuda:exact.jsonl") >"$tmp/diff"; then
        echo "equal: $(basename "$m") $* ($(wc -l <"$tmp/cuda:exact.jsonl") completions)"
    else
        head -c 300 "$tmp/diff"
        bad "$(basename "$m") $*: $(grep -c '^<' "$tmp/diff") completions differ"
    fi
}

model() {
    "$bin/gguf2apr" "$TINY" -o "$tmp/tiny.apr" || bad gguf2apr
    local b type
    for b in 64 1 7; do
        head -n $((b == 64 ? 1000 : 40)) "$data/prompts.jsonl" >"$tmp/prompts.jsonl"
        same "$tmp/tiny.apr" "$tmp/prompts.jsonl" --batch $b
    done
    for type in f32 q8_0; do
        same "$tmp/tiny.apr" "$tmp/prompts.jsonl" --kv-type $type
    done
    same "$tmp/tiny.apr" "$tmp/prompts.jsonl" --temperature 0.8 --seed 3
    for type in q4_k_m q5_k_m q6_k q5_0 q5_1 q4_0 q4_1 bf16 f16; do
        "$bin/apr-random" -q --type $type -o "$tmp/r.apr" || bad "apr-random $type"
        # many rows at once for one of them: all heads that share k and v in one kernel
        head -n "$([ $type = q4_k_m ] && echo 70 || echo 4)" "$data/prompts.jsonl" >"$tmp/few.jsonl"
        same "$tmp/r.apr" "$tmp/few.jsonl" --raw --max-tokens 24
        mv "$tmp/r.apr" "$tmp/r-$type.apr" && rm "$tmp/r-$type.apr"
    done
    for dev in cpu cuda:exact; do
        "$bin/apr-ppl" "$tmp/tiny.apr" "$data/prompts.jsonl" --chunks 8 --device $dev 2>"$tmp/err" | sed 's/"device":"[^"]*"//; s/"seconds":[^,}]*//' >"$tmp/ppl.$dev" || { cat "$tmp/err"; bad "apr-ppl $dev"; }
    done
    cat "$tmp/ppl.cuda:exact"
    cmp "$tmp/ppl.cpu" "$tmp/ppl.cuda:exact" || bad "perplexity differs"
}

speed() {
    local m dev
    nvidia-smi --query-gpu=name,driver_version,clocks.sm,memory.used --format=csv,noheader
    for m in $MODELS; do
        [ -e "$DIR/$m.apr" ] || "$bin/apr-random" -q --shape qwen2.5-$m -o "$DIR/$m.apr" || bad "apr-random $m"
        for dev in cuda cuda:exact; do
            "$bin/apr-bench" -v "$DIR/$m.apr" --device $dev -p ${PROMPT:-512,4096} -n ${GEN:-128} --batch ${BATCH:-8,32} -r ${ROUNDS:-5} 2>&1 || bad "apr-bench $m"
        done
    done
}

for part in ${*:-ops golden model default train speed steps}; do
    echo "== $part"
    $part
done
exit $failed
