#!/usr/bin/env bats
# apr-tok - text to ids and back
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-tok"
    t="$BATS_TEST_DIRNAME/../vectors/tokenizer/qwen3.json"
    printf 'Hello world' >hello.txt
}

@test "text to ids: file, - and no operand are the same" {
    run --separate-stderr -0 "$x" "$t" hello.txt
    [ "$output" = "9707 1879" ]
    [ "$("$x" "$t" - <hello.txt)" = "$output" ]
    [ "$("$x" "$t" <hello.txt)" = "$output" ]
    [ "$("$x" "$t" --count hello.txt)" = 2 ]
    [ "$(printf '' | "$x" "$t" --count)" = 0 ]
}

@test "ids to text, from its own output or from JSON" {
    cmp hello.txt <("$x" "$t" hello.txt | "$x" "$t" --decode)
    cmp hello.txt <(echo '[9707, 1879]' | "$x" "$t" -d)
    printf 'x\n\n  na\303\257ve \t\351\207\215\n' >odd.txt
    cmp odd.txt <("$x" "$t" odd.txt | "$x" "$t" -d)
}

@test "--threads changes no id of a long text" {
    for i in $(seq 100); do cat "$t" hello.txt; done >long.txt
    "$x" "$t" --threads 1 long.txt >one
    for n in 0 2 5; do
        "$x" "$t" --threads $n long.txt | cmp - one
    done
    cmp long.txt <("$x" "$t" -d one)
    printf '\377' >>long.txt
    run --separate-stderr -65 "$x" "$t" --threads 3 long.txt
    [[ "$stderr" == *"invalid UTF-8 at byte $(($(stat -c %s long.txt) - 1)) "* ]]
}

@test "special tokens only when asked for" {
    printf '<|im_start|>user\nhi<|im_end|>' >m.txt
    [ "$("$x" "$t" --special m.txt)" = "151644 872 198 6023 151645" ]
    [[ "$("$x" "$t" m.txt)" != *151644* ]]
    cmp m.txt <("$x" "$t" m.txt | "$x" "$t" -d)
    cmp m.txt <("$x" "$t" -s m.txt | "$x" "$t" -d -s)
    [ "$("$x" "$t" -s m.txt | "$x" "$t" -d)" = $'user\nhi' ]
    [ "$("$x" "${t/qwen3/llama3}" --bos hello.txt)" = "128000 9906 1917" ]
}

@test "--json" {
    run -0 "$x" "$t" --json hello.txt
    [ "$(jq -c . <<<"$output")" = '{"n":2,"ids":[9707,1879],"tokens":["Hello"," world"]}' ]
    [ "$(echo 9707 | "$x" "$t" -d --json | jq -r .text)" = Hello ]
}

@test "the built-in model's GGUF" {
    g="$BATS_TEST_DIRNAME/../../data/models/tiny-coder-29m-Q8_0.gguf"
    [ -e "$g" ] || skip "no built-in model"
    [ "$(printf 'def f(x):\n    return x' | "$x" "$g")" = "311 283 683 317 258 315 448" ]
}

@test "-o writes it whole, with a sidecar" {
    "$x" "$t" hello.txt -o ids
    [ "$(cat ids)" = "9707 1879" ]
    [ "$(jq -r '.inputs[1].path' ids.meta.json)" = hello.txt ]
}

@test "exit codes; a bad run leaves nothing" {
    run --separate-stderr -64 "$x"
    run --separate-stderr -64 "$x" "$t" a b
    run --separate-stderr -66 "$x" nope.json hello.txt
    run --separate-stderr -66 "$x" "$t" nope.txt
    printf 'ab\377' >bad.txt
    run --separate-stderr -65 "$x" "$t" bad.txt -o ids
    [[ "$stderr" == *"bad.txt: invalid UTF-8 at byte 2"* ]]
    [ ! -e ids ]
    run --separate-stderr -65 "$x" "$t" -d hello.txt
    [[ "$stderr" == *"byte 0: expected a token id"* ]]
    echo '5 999999' >ids.txt
    run --separate-stderr -65 "$x" "$t" -d ids.txt
    [[ "$stderr" == *"byte 2: token 999999"* ]]
    run --separate-stderr -73 "$x" "$t" hello.txt -o no/such/dir/x
    run bash -c "'$x' '$t' hello.txt >/dev/full"
    [ "$status" = 74 ]
}

@test "a truncated or unsupported tokenizer is 65 and says where" {
    head -c 3000 "$t" >cut.json
    run --separate-stderr -65 "$x" cut.json hello.txt
    [[ "$stderr" == *"cut.json: truncated"* ]]
    sed 's/"NFC"/"NFKC"/' "$t" >n.json
    run --separate-stderr -65 "$x" n.json hello.txt
    [[ "$stderr" == *"normalizer NFKC is not supported"* ]]
    echo '{"merges":1}' >no.json
    run --separate-stderr -65 "$x" no.json hello.txt
    printf 'GGUF' >cut.gguf
    run --separate-stderr -65 "$x" cut.gguf hello.txt
    printf 'APR\0' >cut.apr
    run --separate-stderr -65 "$x" cut.apr hello.txt
}

@test "other patterns: a long text cut for threads has the ids of the whole one" {
    gpt2='{type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true}'
    jq ".normalizer = null | .pre_tokenizer = $gpt2" "$t" >gpt2.json
    jq ".pre_tokenizer.pretokenizers |= [{type: \"Digits\", individual_digits: true}] + ." "$t" >digits.json
    for i in $(seq 9000); do printf 'return x\n\n\n    def fib(n):\n\treturn 12\nif n\n/x\n\nHello world\n'; done >long.txt
    for j in gpt2.json digits.json; do
        cmp <("$x" "$j" --threads 1 long.txt) <("$x" "$j" --threads 4 long.txt)
        cmp long.txt <("$x" "$j" long.txt | "$x" "$j" -d)
    done
}

@test "SentencePiece: there and back; the first space is the tokenizer's own" {
    for v in llama gemma first unigram; do
        s="$BATS_TEST_DIRNAME/../vectors/tokenizer/spm-$v.json"
        printf 'two  spaces\n\tna\303\257ve \360\237\231\202\n' >odd.txt
        cmp odd.txt <("$x" "$s" odd.txt | "$x" "$s" -d)
    done
    s="$BATS_TEST_DIRNAME/../vectors/tokenizer/spm-llama.json"
    printf '  x' >odd.txt
    cmp odd.txt <("$x" "$s" odd.txt | "$x" "$s" -d)
    [ "$("$x" "$s" --json hello.txt | jq -r '.tokens | join("")')" = " Hello world" ]
    [ "$("$x" "$s" hello.txt | "$x" "$s" -d)" = "Hello world" ]
}

@test "SentencePiece: what would change ids is refused by name" {
    s="$BATS_TEST_DIRNAME/../vectors/tokenizer/spm-llama.json"
    refuses() {
        jq -c "$1" "$s" >bad.json
        run -65 "$x" bad.json hello.txt
        [[ "$output" == *"$2"* ]]
    }
    refuses '.normalizer = {type: "Precompiled", precompiled_charsmap: "AA=="}' "normalizer Precompiled"
    refuses '.normalizer = {type: "Prepend", prepend: "x"}' "normalizer Prepend"
    refuses '.normalizer.normalizers |= reverse' "not supported after another"
    refuses '.pre_tokenizer = {type: "Metaspace", replacement: "_"}' "replacement _"
    refuses '.pre_tokenizer = {type: "BertPreTokenizer"}' "BertPreTokenizer"
    refuses '.model.byte_fallback = false' "ByteFallback without byte_fallback"
    refuses 'del(.model.vocab["<0xC3>"])' "no token <0xC3>"
    refuses '.model.unk_token = "nothing"' "unk_token nothing"
    refuses '.model.ignore_merges = true' "ignore_merges"
    refuses '.model.type = "WordPiece"' "WordPiece"
    refuses '.decoder.decoders[0].content = "x"' "decoder Replace"
    refuses '.added_tokens[1].normalized = true' "normalized"
}
