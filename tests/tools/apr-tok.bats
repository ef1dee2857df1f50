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
