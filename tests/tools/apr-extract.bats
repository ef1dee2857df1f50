#!/usr/bin/env bats
# apr-extract - code out of answers
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-extract"
    jq -cn '{schema: "sample/1", task_id: "Basic/0", sample: 2, bench: "basic",
             text: "Here:\n```python\ndef f(n):\n    return n\n```\nDone."}' >one.jsonl
}

@test "a fence becomes a code record; file, - and no operand are the same" {
    run --separate-stderr -0 "$x" one.jsonl
    [ "$output" = '{"schema":"code/1","task_id":"Basic/0","sample":2,"bench":"basic","code":"def f(n):\n    return n\n","how":"fence"}' ]
    [ "$("$x" - <one.jsonl)" = "$output" ]
    [ "$("$x" <one.jsonl)" = "$output" ]
}

@test "bare records, integer ids and records without an id" {
    printf '%s\n' '{"task_id":9001,"text":"def g():\n    pass"}' '{"text":"no"}' >b.jsonl
    run -0 "$x" b.jsonl
    [ "$(jq -c '[.task_id, .how, .code]' <<<"$output" | tr -d '\n')" = '["9001","raw","def g():\n    pass\n"]["2","none",""]' ]
}

@test "--bench tells which of several fences is asked for" {
    jq -cn '{task_id: "Basic/0", text: "```python\ndef helper():\n    pass\n```\n```python\ndef f(n):\n    return 1\n```"}' >two.jsonl
    [ "$("$x" two.jsonl | jq -r .code | head -1)" = "def helper():" ]
    [ "$("$x" --bench basic two.jsonl | jq -r .code | head -1)" = "def f(n):" ]
    jq -cn '{task_id: 9001, text: "```python\nimport math\ndef other(): pass\n```\n```python\ndef choose(num):\n    return 1\n```"}' >m.jsonl
    [ "$("$x" --bench basic-mbpp m.jsonl | jq -r .code | head -1)" = "def choose(num):" ]
}

@test "-o writes it whole, with a sidecar" {
    "$x" one.jsonl -o out.jsonl
    cmp out.jsonl <("$x" one.jsonl)
    [ "$(jq -r '.inputs[0].path' out.jsonl.meta.json)" = one.jsonl ]
}

@test "damaged input is 65, names its line and leaves nothing" {
    head -c 40 one.jsonl >cut.jsonl
    { cat one.jsonl; echo '{"task_id":1}'; } >notext.jsonl
    { cat one.jsonl; echo '{"task_id":1,"text":7}'; } >number.jsonl
    sed 's,sample/1,sample/2,' one.jsonl >schema.jsonl
    sed 's,Basic/0,Basic/999,' one.jsonl >id.jsonl
    for f in cut:1 notext:2 number:2 schema:1; do
        run --separate-stderr -65 "$x" "${f%:*}.jsonl" -o out.jsonl
        [[ "$stderr" == *"${f%:*}.jsonl:${f#*:}"* ]]
        [ ! -e out.jsonl ]
    done
    run --separate-stderr -65 "$x" --bench basic id.jsonl
    [[ "$stderr" == *Basic/999* ]]
}

@test "exit codes" {
    run --separate-stderr -64 "$x" a b
    run --separate-stderr -66 "$x" nope.jsonl
    run --separate-stderr -66 "$x" --bench nope one.jsonl
    run --separate-stderr -73 "$x" one.jsonl -o no/such/dir/x
    run bash -c "'$x' one.jsonl >/dev/full"
    [ "$status" = 74 ]
}
