#!/bin/bash
# cpu-figures - speed on this machine, ours beside llama.cpp's and ik_llama.cpp's in turns, with ratios and what is wanted
#
#     tests/slow/cpu-figures.sh            (make bench calls it; make bench-kit packs it for a machine without compiler)
#
# Settings are variables of the environment:
#     BIN=DIR       our tools (default: build/bin; in a kit: bin beside this script)
#     DIR=DIR       random-weight models are made and kept here (default: build/bench; 3.3 GB)
#     PEERS=DIR     looks for DIR/llama, DIR/llama-noamx, DIR/ik and DIR-avx2 beside it: sets what follows
#     PEER=FILE PEER_BATCHED=FILE PEER_SIMPLE=FILE      llama.cpp's llama-bench, llama-batched-bench, llama-simple
#     IK=FILE IK_BATCHED=FILE IK_SIMPLE=FILE            ik_llama.cpp's
#     PEER_NOAMX=FILE PEER_AVX2=FILE IK_AVX2=FILE       llama-bench without AMX; for AVX2 alone
#     PEER_E2E=FILE FILE MODEL.gguf THREADS 8 PROMPTS.jsonl answers prompts with llama.cpp, 8 sequences at once, greedily
#     ROUNDS=3      each contender once a round; medians. ROUNDS_BATCHED=1: of 8 and 32 sequences, which take longest
#     CPUS=0,1 THREADS=2     cores and threads of all contenders
#     ROWS=REGEX    only rows whose key matches (keys are the first column)
#     DEVICE=cpu    ours (--device)
#
# Needs bash, awk and taskset alone. With all peers about 8 minutes where a 1.5B model's prompt runs at 180 tokens/s. Prints tab-separated
# lines as they are known: key, what, ours, peer, the peer's figure, ratio, what is wanted of the ratio, yes or no.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
if [ -d "$here/bin" ] && [ -d "$here/lib" ]; then # a kit
    BIN=${BIN:-$here/bin} DIR=${DIR:-$here/models} data=$here/data
    export LD_LIBRARY_PATH=$here/lib
fi
data=${data:-$top/data/models}
BIN=${BIN:-$top/build/bin} DIR=${DIR:-$top/build/bench} DEVICE=${DEVICE:-cpu} ROWS=${ROWS:-.}
ROUNDS=${ROUNDS:-3} ROUNDS_BATCHED=${ROUNDS_BATCHED:-1} CPUS=${CPUS:-0,1} THREADS=${THREADS:-2}
if [ -n "${PEERS:-}" ]; then
    for v in PEER=llama/llama-bench PEER_BATCHED=llama/llama-batched-bench PEER_SIMPLE=llama/llama-simple \
        IK=ik/llama-bench IK_BATCHED=ik/llama-batched-bench IK_SIMPLE=ik/llama-simple PEER_NOAMX=llama-noamx/llama-bench \
        PEER_E2E=llama/llama-e2e PEER_AVX2=../avx2/llama/llama-bench IK_AVX2=../avx2/ik/llama-bench; do
        name=${v%%=*} file=$PEERS/${v#*=}
        if [ -z "${!name:-}" ] && [ -x "$file" ]; then
            printf -v "$name" %s "$file"
        fi
    done
fi
: "${PEER:=}" "${PEER_BATCHED:=}" "${PEER_SIMPLE:=}" "${IK:=}" "${IK_BATCHED:=}" "${IK_SIMPLE:=}" "${PEER_NOAMX:=}" "${PEER_AVX2:=}" "${IK_AVX2:=}" "${PEER_E2E:=}"
export OMP_THREAD_LIMIT=$THREADS # llama-simple has no option for threads
tmp=$(mktemp -d)
busy=
trap '[ -z "$busy" ] || kill "$busy" 2>/dev/null || true; rm -r "$tmp"' EXIT

pinned() { taskset -c "$CPUS" "$@"; }
wanted() { [[ $1 =~ $ROWS ]]; }
note() { echo "cpu-figures: $*" >&2; }

# ---- values: one file a figure, one line a round ----
put() { # figure value
    if [ -n "$2" ]; then echo "$2" >>"$tmp/$1"; else note "no figure for $1"; fi
}
median() { # figure
    [ -s "$tmp/$1" ] && sort -g "$tmp/$1" | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}
# key, what, our figure, peer's name, peer's figure, what is wanted: ">=6" of ours / theirs, "<=1" the other way round
row() {
    local ours theirs
    wanted "$1" || return 0
    ours=$(median "$3") || return 0
    if [ "$5" = - ]; then
        printf '%s\t%s\t%.4g\t-\t-\t-\t-\t-\n' "$1" "$2" "$ours"
    elif theirs=$(median "$5"); then
        awk -v k="$1" -v what="$2" -v a="$ours" -v peer="$4" -v b="$theirs" -v want="$6" 'BEGIN {
            r = b > 0 ? a / b : 0
            x = substr(want, 3) + 0
            printf "%s\t%s\t%.4g\t%s\t%.4g\t%.2f\t%s\t%s\n", k, what, a, peer, b, r, want, (want ~ /^>=/ ? r >= x : r <= x) ? "yes" : "NO"}'
    fi
}
limit() { # key what figure "<=X" unit: a bound on our own figure
    local ours
    wanted "$1" || return 0
    ours=$(median "$3") || return 0
    awk -v k="$1" -v what="$2" -v a="$ours" -v want="$4" 'BEGIN {
        x = substr(want, 3) + 0
        printf "%s\t%s\t%.4g\t-\t-\t-\t%s\t%s\n", k, what, a, want, (want ~ /^>=/ ? a >= x : a <= x) ? "yes" : "NO"}'
}

# ---- contenders ----
model() { # name shape type: DIR/name.apr and DIR/name.gguf, made once
    [ -f "$DIR/$1.apr" ] || "$BIN/apr-random" --shape "$2" --type "$3" -o "$DIR/$1.apr"
    if [ -n "$PEER$PEER_BATCHED$PEER_SIMPLE$IK$IK_BATCHED$IK_SIMPLE$PEER_NOAMX$PEER_AVX2$IK_AVX2" ] && ! [ -f "$DIR/$1.gguf" ]; then
        "$BIN/apr2gguf" "$DIR/$1.apr" -o "$DIR/$1.gguf"
    fi
}
ours() { # figure-prefix model options...: figures PREFIX.TEST
    local p=$1 m=$2
    shift 2
    pinned "$BIN/apr-bench" "$DIR/$m.apr" --threads "$THREADS" --device "$DEVICE" -r 1 --csv "$@" >"$tmp/csv"
    while IFS=, read -r _ _ _ _ _ test _ _ value _; do
        [ "$test" = test ] || put "$p.${test//x/.}" "$value"
    done <"$tmp/csv"
}
theirs() { # binary figure-prefix model pp tg options...: figures PREFIX.ppN, PREFIX.tgN
    local b=$1 p=$2 m=$3 pp=$4 tg=$5 v
    shift 5
    [ -n "$b" ] || return 0
    if ! pinned "$b" -m "$DIR/$m.gguf" -t "$THREADS" -p "$pp" -n "$tg" -r 1 -fa 1 -o json "$@" >"$tmp/json" 2>"$tmp/err"; then
        note "$b failed: $(tail -n 1 "$tmp/err")"
        return 0
    fi
    mapfile -t v < <(sed -n 's/.*"avg_ts": *\([0-9.]*\).*/\1/p' "$tmp/json")
    [ "$pp" = 0 ] || { put "$p.pp$pp" "${v[0]:-}"; v=("${v[@]:1}"); }
    [ "$tg" = 0 ] || put "$p.tg$tg" "${v[0]:-}"
}
batched() { # binary figure-prefix model N flash-attention-options...: figures PREFIX.ppXXX.N, PREFIX.tg128.N
    local b=$1 p=$2 m=$3 n=$4
    shift 4
    [ -n "$b" ] || return 0
    if ! pinned "$b" -m "$DIR/$m.gguf" -t "$THREADS" -npp 128 -ntg 128 -npl "$n" -c $((n * 256)) -b 2048 -ub 512 "$@" >"$tmp/out" 2>&1; then
        note "$b failed: $(tail -n 1 "$tmp/out")"
        return 0
    fi
    put "$p.tg128.$n" "$(awk -F'|' -v n="$n" '$4 + 0 == n && $9 + 0 > 0 {gsub(/ /, "", $9); print $9}' "$tmp/out")"
}
seconds() { # figure command...
    local f=$1 begin=$EPOCHREALTIME
    shift
    if pinned "$@" >"$tmp/out" 2>&1 </dev/null; then
        put "$f" "$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN {print b - a}')"
    else
        note "$1 failed: $(tail -n 1 "$tmp/out")"
    fi
}
memory() { # figure command...: MiB, the most that was resident
    local f=$1 pid most=0 k
    shift
    taskset -c "$CPUS" "$@" >"$tmp/out" 2>&1 & # not pinned(): its process would be a shell
    pid=$!
    while k=$(awk '/^VmHWM/ {print $2}' "/proc/$pid/status" 2>/dev/null) && [ -n "$k" ]; do
        [ "$k" -le "$most" ] || most=$k
        sleep 0.02
    done
    wait "$pid" || note "$1 failed: $(tail -n 1 "$tmp/out")"
    put "$f" $((most / 1024))
}

# ---- the rows, a group at a time ----
rounds() { # N command...: in turns, so that all contenders see the same machine
    local n=$1 i
    shift
    for ((i = 0; i < n; i++)); do "$@"; done
}
single() { # model: prompt of 512 and 128 steps
    ours "$1.apr" "$1"
    theirs "$PEER" "$1.llama" "$1" 512 128
    theirs "$IK" "$1.ik" "$1" 512 0
    theirs "$IK" "$1.ikr" "$1" 0 128 -rtr 1
}
both() { # model what: a line for each figure that has no target
    row "$1.pp" "$2 prefill 512, tok/s" "$1.apr.pp512" - - -
    row "$1.tg" "$2 decode, tok/s" "$1.apr.tg128" - - -
}
group_15() {
    model 15b qwen2.5-1.5b q4_k_m
    rounds "$ROUNDS" single 15b
    both 15b "1.5B Q4_K_M"
    row 15b.pp "1.5B Q4_K_M prefill 512" 15b.apr.pp512 llama.cpp 15b.llama.pp512 '>=6'
    row 15b.pp "1.5B Q4_K_M prefill 512" 15b.apr.pp512 ik 15b.ik.pp512 '>=1'
    row 15b.tg "1.5B Q4_K_M decode" 15b.apr.tg128 llama.cpp 15b.llama.tg128 '>=1.7'
    row 15b.tg "1.5B Q4_K_M decode" 15b.apr.tg128 'ik repacked' 15b.ikr.tg128 '>=1.4'
}
group_05() {
    model 05b qwen2.5-0.5b q4_k_m
    rounds "$ROUNDS" single 05b
    both 05b "0.5B Q4_K_M"
    row 05b.pp "0.5B Q4_K_M prefill 512" 05b.apr.pp512 ik 05b.ik.pp512 '>=5'
    row 05b.pp "0.5B Q4_K_M prefill 512" 05b.apr.pp512 llama.cpp 05b.llama.pp512 '>=1'
    row 05b.tg "0.5B Q4_K_M decode" 05b.apr.tg128 'ik repacked' 05b.ikr.tg128 '>=1.5'
    row 05b.tg "0.5B Q4_K_M decode" 05b.apr.tg128 llama.cpp 05b.llama.tg128 '>=1'
}
group_05q8() {
    model 05q8 qwen2.5-0.5b q8_0
    rounds "$ROUNDS" single 05q8
    both 05q8 "0.5B Q8_0"
    row 05q8.pp "0.5B Q8_0 prefill 512" 05q8.apr.pp512 llama.cpp 05q8.llama.pp512 '>=3'
    row 05q8.tg "0.5B Q8_0 decode" 05q8.apr.tg128 llama.cpp 05q8.llama.tg128 '>=1.2'
}
many() {
    local n
    for n in 8 32; do
        ours 05b.apr 05b -p 0 -n 0 --batch $n --warmup 0
        batched "$PEER_BATCHED" 05b.llama 05b $n -fa on
        batched "$IK_BATCHED" 05b.ik 05b $n -fa 1 -rtr
    done
}
group_batch() {
    model 05b qwen2.5-0.5b q4_k_m
    rounds "$ROUNDS_BATCHED" many
    for n in 8 32; do
        row batch.$n "0.5B Q4_K_M, $n sequences, summed decode, tok/s" 05b.apr.tg128.$n - - -
        row batch.$n "0.5B Q4_K_M, $n sequences, summed decode" 05b.apr.tg128.$n llama.cpp 05b.llama.tg128.$n '>='$((n == 8 ? 3 : 5))
        row batch.$n "0.5B Q4_K_M, $n sequences, summed decode" 05b.apr.tg128.$n ik 05b.ik.tg128.$n '>=1'
    done
}
masked() {
    DEVICE=cpu:avx512 ours 15b.apr512 15b -n 0
    theirs "$PEER_NOAMX" 15b.noamx 15b 512 0
    theirs "$IK" 15b.ik512 15b 512 0
}
masked2() {
    DEVICE=cpu:avx2 ours 15b.apr2 15b -n 32
    theirs "$PEER_AVX2" 15b.llama2 15b 512 32
    theirs "$IK_AVX2" 15b.ik2 15b 512 32
}
group_masked() {
    model 15b qwen2.5-1.5b q4_k_m
    if grep -q avx512_vnni /proc/cpuinfo; then
        rounds "$ROUNDS" masked
        row vnni.pp "without AMX: 1.5B Q4_K_M prefill 512, tok/s" 15b.apr512.pp512 - - -
        row vnni.pp "without AMX: 1.5B Q4_K_M prefill 512" 15b.apr512.pp512 llama.cpp 15b.noamx.pp512 '>=1.5'
        row vnni.pp "without AMX: 1.5B Q4_K_M prefill 512" 15b.apr512.pp512 ik 15b.ik512.pp512 '>=1.5'
    fi
    rounds 1 masked2
    for t in pp512 tg32; do
        row avx2.${t%%[0-9]*} "AVX2 only: 1.5B Q4_K_M $t, tok/s" 15b.apr2.$t - - -
        row avx2.${t%%[0-9]*} "AVX2 only: 1.5B Q4_K_M $t" 15b.apr2.$t llama.cpp 15b.llama2.$t '>=1'
        row avx2.${t%%[0-9]*} "AVX2 only: 1.5B Q4_K_M $t" 15b.apr2.$t ik 15b.ik2.$t '>=1'
    done
}
steps() { # suffix
    ours "15b.apr$1" 15b -p 0 -n 32
    theirs "$PEER" "15b.llama$1" 15b 0 32
    theirs "$IK" "15b.ikr$1" 15b 0 32 -rtr 1
}
group_busy() {
    model 15b qwen2.5-1.5b q4_k_m
    rounds "$ROUNDS" steps .idle
    taskset -c "${CPUS%%,*}" bash -c 'while :; do :; done' &
    busy=$!
    rounds "$ROUNDS" steps .busy
    kill "$busy"
    wait "$busy" 2>/dev/null || true
    busy=
    row busy "1.5B Q4_K_M decode beside a busy process, to itself idle" 15b.apr.busy.tg32 idle 15b.apr.idle.tg32 '>=0.4'
    row busy.llama "llama.cpp, the same" 15b.llama.busy.tg32 idle 15b.llama.idle.tg32 '>=0'
    row busy.ik "ik repacked, the same" 15b.ikr.busy.tg32 idle 15b.ikr.idle.tg32 '>=0'
}
group_memory() {
    local file kv
    model 15b qwen2.5-1.5b q4_k_m
    memory mem.apr "$BIN/apr-bench" "$DIR/15b.apr" --threads "$THREADS" --device "$DEVICE" -r 1 -n 32 --csv -o "$tmp/mem.csv"
    [ -z "$PEER" ] || memory mem.llama "$PEER" -m "$DIR/15b.gguf" -t "$THREADS" -p 512 -n 32 -r 1 -fa 1
    [ -z "$IK" ] || memory mem.ik "$IK" -m "$DIR/15b.gguf" -t "$THREADS" -p 512 -n 32 -r 1 -fa 1
    file=$(stat -c %s "$DIR/15b.apr")
    kv=$(awk -F, 'NR > 1 && $18 > m {m = $18} END {print m + 0}' "$tmp/mem.csv")
    put mem.over "$(awk -v m="$(median mem.apr)" -v f="$file" -v k="$kv" 'BEGIN {print m - (f + k) / 1048576}')"
    limit memory "peak memory of 1.5B Q4_K_M beyond file and KV cache, MiB" mem.over '<=150'
    row memory "peak memory of 1.5B Q4_K_M, MiB" mem.apr llama.cpp mem.llama '<=1'
    row memory "peak memory of 1.5B Q4_K_M, MiB" mem.apr ik mem.ik '<=1'
}
first_token() {
    seconds ttft.apr "$BIN/apr-gen" -m "$DIR/15b.apr" --raw -p "Hello my name is" -n 1 --ctx 64 --batch 1 --threads "$THREADS" --device "$DEVICE" --text
    [ -z "$PEER_SIMPLE" ] || seconds ttft.llama "$PEER_SIMPLE" -m "$DIR/15b.gguf" -n 1 "Hello my name is"
    [ -z "$IK_SIMPLE" ] || seconds ttft.ik "$IK_SIMPLE" -m "$DIR/15b.gguf" -t "$THREADS" -n 1 -p "Hello my name is"
}
group_ttft() {
    model 15b qwen2.5-1.5b q4_k_m
    "$BIN/apr-pack" "$DIR/15b.apr" --threads "$THREADS" -q # repacked weights, as a user has them who starts often
    first_token # the page cache
    rm -f "$tmp"/ttft.*
    rounds "$ROUNDS" first_token
    rm -f "$DIR/15b.apr.packed" # the other rows are without it
    limit ttft "whole process to the first token, 1.5B Q4_K_M, s" ttft.apr '<=0.3'
    row ttft "whole process to the first token, 1.5B Q4_K_M, s" ttft.apr llama.cpp ttft.llama '<=1'
    row ttft "whole process to the first token, 1.5B Q4_K_M, s" ttft.apr ik ttft.ik '<=1'
}
answers() {
    seconds e2e.apr "$BIN/apr-gen" -m "$tmp/tiny.apr" "$tmp/prompts" --threads "$THREADS" --device "$DEVICE"
    [ -z "$PEER_E2E" ] || seconds e2e.llama "$PEER_E2E" "$tiny" "$THREADS" 8 "$tmp/prompts"
}
group_e2e() {
    local tiny=$data/tiny-coder-29m-Q8_0.gguf
    "$BIN/gguf2apr" "$tiny" -o "$tmp/tiny.apr"
    cp "$data/prompts.jsonl" "$tmp/prompts" 2>/dev/null || "$BIN/apr-prompt" --bench basic >"$tmp/prompts"
    rounds "$ROUNDS" answers
    row e2e "built-in model, $(grep -c . "$tmp/prompts") basic prompts with apr-gen, s" e2e.apr - - -
    row e2e "built-in model, basic prompts with apr-gen, s" e2e.apr llama.cpp e2e.llama '<=0.25'
}

mkdir -p "$DIR"
echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), cores $CPUS, $THREADS threads, $(date -u +%Y-%m-%d)"
printf 'key\twhat\tours\tpeer\ttheirs\tratio\twanted\tmet\n'
groups="15:15b 05:05b 05q8:05q8 batch:batch masked:vnni|avx2 busy:busy ttft:ttft memory:memory e2e:e2e"
for g in $groups; do
    keys=${g#*:}
    for k in ${keys//|/ }; do # a group runs if one of its keys is wanted
        if wanted "$k" || wanted "$k.pp" || wanted "$k.tg" || wanted "$k.8" || wanted "$k.32"; then
            "group_${g%%:*}"
            break
        fi
    done
done
