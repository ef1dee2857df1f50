#!/usr/bin/env bats
# bad-input - every tool against damaged input and outputs that cannot be: code, message, nothing left
bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    mkdir good
    "$APR_BIN/gguf2apr" "$TOP/tests/vectors/tiny.gguf" -o good/m.apr
    "$APR_BIN/st2apr" "$TOP/tests/vectors/tiny-hf" -o good/bf16.apr
    rep() { for i in 1 2 3; do printf '%s\n' "${1//NNN/$i}"; done; }
    rep '{"schema":"prompt/1","task_id":"t/NNN","prompt":"hi","max_tokens":4}' >good/prompt
    rep '{"schema":"sample/1","task_id":"Basic/NNN","sample":0,"bench":"basic","text":"def f():\n    return 1\n"}' >good/sample
    rep '{"schema":"code/1","task_id":"Basic/NNN","sample":0,"bench":"basic","code":"def f():\n    return 1\n","how":"raw"}' >good/code
    rep '{"schema":"verdict/1","task_id":"t/NNN","sample":0,"bench":"basic","passed":false,"verdict":"wrong_answer"}' >good/verdict
    rep '{"instruction":"aNNN","response":"b c d"}' >good/data
    echo hello >good/text
    "$APR_BIN/apr-lora" -q good/m.apr --data good/data -o good/adapter --epochs 1 --rank 2
}

setup() {
    cp -r "$BATS_FILE_TMPDIR/good" "$BATS_TEST_TMPDIR/w"
    cd "$BATS_TEST_TMPDIR/w"
}

teardown() {
    ! mountpoint -q s || umount s
}

# CODE PATTERN TOOL ARGUMENTS..: that code, one line that begins with the tool's name and matches, no out*
bad() {
    local code=$1 want=$2 tool=$3
    shift 3
    run --separate-stderr "-$code" timeout 20 "$APR_BIN/$tool" "$@"
    [[ $stderr == "$tool: "$want && $stderr != *$'\n'* ]] || { echo "$tool $*: $stderr"; return 1; }
    [ -z "$(find . -name 'out*' ! -name out.dir)" ] || { echo "$tool $*: left $(echo out*)"; return 1; }
}

# the F32 or BF16 at the begin of TENSOR in FILE set to the octal BYTES; the checksums are left as they were
poke() { # FILE TENSOR BYTES
    local at n off ndim data
    at=$(grep -abo "$2" "$1" | tail -1 | cut -d: -f1)
    n=${#2}
    ndim=$(od -An -tu1 -j$((at + n + 1)) -N1 "$1" | tr -d ' ')
    off=$(od -An -tu8 -j$((at + n + 2 + 8 * ndim)) -N8 "$1" | tr -d ' ')
    data=$(od -An -tu8 -j32 -N8 "$1" | tr -d ' ')
    printf "$3" | dd of="$1" bs=1 seek=$((data + off)) conv=notrunc status=none
}

up=model.layers.0.mlp.up_proj.weight

@test "a flipped bit in the weights is found by whoever uses them, and gets no good checksum" {
    poke m.apr $up '\001\002\003'
    want="m.apr: tensor $up: hash: expected *, found *"
    bad 65 "$want" apr-gen -m m.apr prompt -o out
    bad 65 "$want" apr-ppl m.apr text --ctx 32
    bad 65 "$want" apr-quant m.apr --type q8_0 -o out
    bad 65 "$want" apr-fuse m.apr --adapter adapter -o out
    bad 65 "$want" apr-lora m.apr --data data -o out
    run -1 "$APR_BIN/apr-check" m.apr
}

@test "NaN and infinity in weights: the tensor and the element, before any work" {
    sed -i 's/"tensor_xxh64"/"tensor_xxh65"/' bf16.apr
    for v in '\300\177' '\200\177' '\200\377'; do
        poke bf16.apr $up "$v"
        want="bf16.apr: tensor $up: element 0 is not finite"
        bad 65 "$want" apr-gen -m bf16.apr prompt -o out
        bad 65 "$want" apr-ppl bf16.apr text --ctx 32
        bad 65 "$want" apr-lora bf16.apr --data data -o out
        run -1 "$APR_BIN/apr-check" bf16.apr
    done
}

@test "JSONL: a bad line, no newline, invalid UTF-8, an empty line, NUL: file and line, all readers" {
    for k in mid torn utf8 blank nul; do
        for f in prompt sample code verdict data; do
            case $k in
            mid) sed '2s/.*/{"x": nope}/' $f ;;
            torn) head -c -1 $f ;;
            utf8) sed '2s/{/{"z":"\xff\xfe",/' $f ;;
            blank) sed '2s/.*//' $f ;;
            nul) sed '2s/{/{"z":"\x00",/' $f ;;
            esac >$f.$k
        done
        case $k in
        mid) want="2: not JSON: error at byte 6" ;;
        torn) want="3: truncated: the last line has no newline" ;;
        utf8) want="2: invalid UTF-8" ;;
        blank) want="2: empty line" ;;
        nul) want="2: NUL byte in JSON" ;;
        esac
        bad 65 "prompt.$k:$want" apr-gen -m m.apr prompt.$k -o out
        # these two go on: the line is named, the others get their code and their verdicts
        run --separate-stderr -65 "$APR_BIN/apr-extract" --bench basic sample.$k
        [[ $stderr == "apr-extract: sample.$k:"$want && $(jq -s 'map(.schema == "code/1") | all and length >= 2' <<<"$output") == true ]]
        run --separate-stderr -65 "$APR_BIN/apr-sandbox" --bench basic code.$k
        [[ $stderr == "apr-sandbox: code.$k:"$want && $(jq -s 'map(.schema == "verdict/1") | all and length >= 2' <<<"$output") == true ]]
        bad 65 "verdict.$k:$want" passk verdict.$k -o out
        bad 65 "verdict.$k:$want" apr-compare verdict verdict.$k -o out
        bad 65 "verdict.$k:$want" apr-report verdict.$k -o out
        bad 65 "data.$k:$want" apr-lora m.apr --data data.$k -o out
        bad 65 "data.$k:$want" apr-lora m.apr --data data --val data.$k -o out
    done
}

@test "a folder where a file is expected is 66" {
    mkdir d
    for c in "apr-gen -m m.apr d" "apr-extract d" "passk d" "apr-compare d verdict" "apr-report d" \
        "apr-sandbox --bench basic d" "apr-lora m.apr --data d -o out" "apr-ppl m.apr d --ctx 32" "apr-tok m.apr d"; do
        bad 66 "d: Is a directory" $c
    done
    for c in "apr-gen -m d prompt" "apr-quant d -t q8_0" "apr-check d" "apr-ppl d text" "apr-tok d text" "apr-lora d --data data -o out"; do
        bad 66 "d: expected a regular file" $c
    done
}

@test "neither of three formats; a tokenizer without merges" {
    head -c 5000 /dev/zero | tr '\0' x >x
    bad 65 "x: expected .apr, GGUF or SafeTensors, found none of them" apr-info x
    : >e
    bad 65 "e: truncated: 0 bytes, *" apr-info e
    cp -r "$TOP/tests/vectors/tiny-hf" hf
    jq '.model.merges = []' hf/tokenizer.json >t && mv t hf/tokenizer.json
    bad 65 "hf/tokenizer.json: merges: expected at least one, found none" st2apr hf -o out
    jq 'del(.model.merges)' hf/tokenizer.json >t && mv t hf/tokenizer.json
    bad 65 "hf/tokenizer.json: model has no merges" st2apr hf -o out
}

@test "a model that does not fit: said first, with the bytes" {
    mkdir big
    ! ldd "$APR_BIN/apr-gen" | grep -q libasan || skip "a sanitizer needs address space of its own"
    g="$TOP/data/models/tiny-coder-29m-Q8_0.gguf"
    "$APR_BIN/gguf2apr" "$g" -o big/m.apr
    for c in "apr-gen -m big/m.apr prompt -o out" "apr-ppl big/m.apr text"; do
        run --separate-stderr -71 bash -c "ulimit -v 60000 && exec $APR_BIN/$c"
        [[ $stderr == *": big/m.apr: needs "*" bytes, "*" available" ]]
    done
    [ -z "$(ls -d out* 2>/dev/null)" ]
}

@test "a folder with other files is not replaced by an adapter" {
    mkdir out.dir && echo precious >out.dir/thesis
    bad 73 "out.dir: holds thesis, which would be lost: not replaced" apr-lora m.apr --data data -o out.dir
    [ "$(cat out.dir/thesis)" = precious ]
}

# every tool that writes with -o
each() { # CODE PATTERN OUTPUT
    bad "$1" "$2" gguf2apr "$TOP/tests/vectors/tiny.gguf" -o "$3"
    bad "$1" "$2" st2apr "$TOP/tests/vectors/tiny-hf" -o "$3"
    bad "$1" "$2" apr-quant m.apr -t q8_0 -o "$3"
    bad "$1" "$2" apr-fuse m.apr --adapter adapter -o "$3"
    bad "$1" "$2" apr-gen -m m.apr prompt -o "$3"
    bad "$1" "$2" apr-prompt --bench basic -o "$3"
    bad "$1" "$2" apr-extract sample -o "$3"
    bad "$1" "$2" apr-sandbox --bench basic code -o "$3"
    bad "$1" "$2" passk verdict -o "$3"
    bad "$1" "$2" apr-compare verdict verdict -o "$3"
    bad "$1" "$2" apr-report verdict -o "$3"
    bad "$1" "$2" apr-tok m.apr text -o "$3"
}

@test "output: no such folder, a folder in the way" {
    each 73 "nowhere/x*: No such file or directory" nowhere/x
    bad 73 "nowhere/x*: No such file or directory" apr-lora m.apr --data data -o nowhere/x
    mkdir out.dir
    each 73 "out.dir: is a directory" out.dir
    bad 73 "text: exists and is no folder" apr-lora m.apr --data data -o text
}

@test "output: a read-only file system, a full one (root)" {
    mkdir s
    [ "$(id -u)" = 0 ] && mount -t tmpfs -o ro,size=64k none s 2>/dev/null || skip "needs root and mount"
    each 73 "s/x*: Read-only file system" s/x
    bad 73 "s/x*: Read-only file system" apr-lora m.apr --data data -o s/x
    mount -o remount,rw,size=64k s
    head -c 64k /dev/zero >s/filler
    each 74 "s/x*: No space left on device" s/x
    [ "$(ls -A s)" = filler ] || { ls -A s; return 1; }
    run -74 "$APR_BIN/apr-lora" -q m.apr --data data --epochs 1 --rank 2 -o s/x
    [ "$(ls -A s)" = filler ]
}

@test "the catalog: tabs, duplicate and unknown keys 78; other bytes than it says 65" {
    mkdir -p r/bin r/data/bench && cp "$APR_BIN/apr-prompt" r/bin && cp -r "$TOP/configs" r/
    c=r/data/catalog.yaml b=r/data/bench/basic.jsonl.gz
    t() { # CODE PATTERN
        run --separate-stderr "-$1" r/bin/apr-prompt --bench basic -o out
        [[ $stderr == "apr-prompt: "$2 && ! -e out ]] || { echo "$stderr"; return 1; }
    }
    fresh() { cp "$TOP/${1#r/}" "$1"; }
    fresh $c; fresh $b; printf '\tx: 1\n' >>$c; t 78 "*data/catalog.yaml:*: a tab:*"
    fresh $c; echo basic: >>$c; t 78 "*data/catalog.yaml:*: duplicate key 'basic', first in line *"
    fresh $c; sed -i 's/^  licence/  lisence/' $c; t 78 "*data/catalog.yaml:*: unknown key 'lisence', did you mean 'licence'?"
    fresh $c; echo x >>$b; t 65 "basic: *basic.jsonl.gz: expected * bytes, found *"
    fresh $b; printf '\377' | dd of=$b bs=1 seek=9000 conv=notrunc status=none; t 65 "basic: *basic.jsonl.gz: expected sha256 *, found *"
}
