# lora.bash - what the tests of apr-lora share: a model of two layers, samples, runs that are killed

# m.apr, d.jsonl (40 samples of several lengths) and v.jsonl (8 of them), here; $x is the tool
train_files() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-lora"
    "$APR_BIN/gguf2apr" -q "$TOP/tests/vectors/tiny.gguf" -o m.apr
    for i in $(seq 40); do
        printf '{"instruction":"say %d","response":"%s yes %d"}\n' "$i" "$(head -c $((i * 3 % 17)) <<<abcdefghijklmnopqrstuvwxyz)" "$i"
    done >d.jsonl
    head -8 d.jsonl >v.jsonl
}
# apr-lora with these arguments is killed when OUT.ckpt is there, before OUT
dies_after_checkpoint() { # OUT ARGUMENT...
    local out=$1 pid
    shift
    "$x" -q "$@" &
    pid=$!
    while [ ! -e "$out.ckpt" ] && kill -0 $pid 2>/dev/null; do :; done
    kill -9 $pid || true
    wait $pid || true
    [ -e "$out.ckpt" ] && [ ! -e "$out" ]
}
losses() { jq -c 'select(.event=="step") | .loss' "$1"; }
