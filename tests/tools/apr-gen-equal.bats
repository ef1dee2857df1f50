#!/usr/bin/env bats
# apr-gen - the bytes of a sample whatever the batch, the threads, what is shared and the processor
bats_require_minimum_version 1.5.0

setup_file() {
    export m="$BATS_FILE_TMPDIR/m.apr"
    "$APR_BIN/gguf2apr" "$TOP/data/models/tiny-coder-29m-Q8_0.gguf" -o "$m"
    "$APR_BIN/apr-prompt" --bench basic --limit 4 --max-tokens 8 -o "$BATS_FILE_TMPDIR/p.jsonl"
}

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-gen"
}

# one set of bytes of a model for every way to compute it; the built-in model's paths are those of this machine
same_everywhere() {
    local o="--samples 8 --temperature 0.8 --top-p 0.95 --seed 7 --ids" opts dev p="$BATS_FILE_TMPDIR/p.jsonl"
    "$x" -m "$1" "$p" $o >want
    [ "$(wc -l <want)" = 32 ]
    while read -r opts; do
        "$x" -m "$1" "$p" $o $opts >got
        cmp want got || { echo "$1 $opts"; return 1; }
    done
    for dev in avx2 avxvnni avx512 amx neon neon_i8mm; do
        for opts in "--batch 3 --threads 2 --no-share" "--batch 32 --threads 4"; do
            "$x" -m "$1" "$p" $o $opts --device cpu:$dev >got || {
                [ $? = 69 ] && continue 2 # an instruction set that this machine lacks
                return 1
            }
            cmp want got || { echo "$1 $dev $opts"; return 1; }
        done
    done
}

@test "the same text for batch 1, 3, 8, 32, for 1, 2, 4 threads, shared or not, on every path" {
    same_everywhere "$m" <<'EOF'
--batch 1 --threads 4
--batch 1 --no-share --threads 2
--batch 3 --threads 1
--batch 8 --threads 4
--batch 8 --no-share --threads 1
--batch 32 --threads 2
--batch 32 --no-share --threads 1
EOF
    "$APR_BIN/apr-quant" "$m" --type q4_k_m --requantize -o k.apr
    same_everywhere k.apr <<'EOF'
--batch 1 --threads 1
--batch 8 --no-share --threads 2
EOF
}

@test "each combination of batch, threads, sharing and path" {
    [ -n "$APR_SLOW" ] || skip "minutes: APR_SLOW=1"
    local o="--samples 8 --temperature 0.8 --top-p 0.95 --seed 7 --ids" p="$BATS_FILE_TMPDIR/p.jsonl" n=0 model dev b t s
    head -1 "$p" >first # plain C is slow
    "$APR_BIN/apr-quant" "$m" --type q4_k_m --requantize -o k.apr
    for model in "$m" k.apr; do
        "$x" -m "$model" "$p" $o >want
        for dev in generic avx2 avxvnni avx512 amx neon neon_i8mm; do
            for b in 1 3 8 32; do for t in 1 2 4; do for s in "" --no-share; do
                prompts=$p
                [ $dev != generic ] || prompts=first
                "$x" -m "$model" "$prompts" $o --batch $b --threads $t $s --device cpu:$dev >got || {
                    [ $? = 69 ] && continue 4
                    return 1
                }
                cmp <(head -n "$(wc -l <got)" want) got || { echo "$model $dev: batch $b, threads $t $s"; return 1; }
                n=$((n + 1))
            done; done; done
        done
    done
    echo "# $n runs" >&3
    [ $n -ge 48 ]
}

# The third prompt shares blocks that the second has promised and cannot compute yet: it waits itself for part of a
# block of the first, whose prompt takes two steps of 59 rows.
@test "a prompt that waits does not take what another has only promised" {
    "$x" -m "$m" --raw "$TOP/tests/vectors/engine/promised.jsonl" --ids --batch 3 --no-share >want
    for chunk in 40 59 60 64 512; do
        "$x" -m "$m" --raw "$TOP/tests/vectors/engine/promised.jsonl" --ids --batch 3 --chunk $chunk >got
        cmp want got || { echo "chunk $chunk"; return 1; }
    done
}
