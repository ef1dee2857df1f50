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
    [ "$output" = '{"schema":"code/1","task_id":"Basic/0","sample":2,"bench":"basic","code":"def f(n):\n    return n\n","how":"fence","lang":"python","form":"program","parses":true,"fences":1,"candidates":1}' ]
    [ -z "$stderr" ]
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
    [ "$("$x" --bench basic two.jsonl | jq -c '[.defines, .fences, .candidates]')" = '[true,2,2]' ]
    jq -cn '{task_id: 9001, text: "```python\nimport math\ndef other(): pass\n```\n```python\ndef choose(num):\n    return 1\n```"}' >m.jsonl
    [ "$("$x" --bench basic-mbpp m.jsonl | jq -r .code | head -1)" = "def choose(num):" ]
}

@test "a body continues the prompt of humaneval, but there is none to continue in mbpp" {
    jq -cn '{task_id: "Basic/0", text: "    return n\n\ndef g(): pass\n"}' >h.jsonl
    jq -cn '{task_id: 9001, text: "    return num\n"}' >m.jsonl
    [ "$("$x" --bench basic h.jsonl | jq -c '[.form, .defines, .code]')" = '["body",true,"    return n\n"]' ]
    [ "$("$x" --bench basic-mbpp m.jsonl | jq -c '[.form, .defines, .parses]')" = '["program",false,false]' ]
}

@test "--sanitize keeps what is needed, --as-is changes nothing" {
    jq -cn '{task_id: "Basic/0", text: "```python\nimport math\ndef g(n): return n\ndef h(): pass\ndef f(n):\n    return g(n)\nprint(f(1))\nm = input()\n```"}' >s.jsonl
    [ "$("$x" --bench basic s.jsonl | jq -c '[.dropped, (.code | split("\n") | length)]')" = '[1,7]' ]
    [ "$("$x" --bench basic --sanitize s.jsonl | jq -c '[.dropped, .code]')" = '[3,"import math\ndef g(n): return n\ndef f(n):\n    return g(n)\n"]' ]
    [ "$("$x" --bench basic --as-is s.jsonl | jq -c '[.dropped, (.code | split("\n") | length)]')" = '[null,8]' ]
    jq -cn '{task_id: "Basic/0", text: "```python\ndef f(n):\n    return n \u2212 1\n```"}' >q.jsonl
    [ "$("$x" q.jsonl | jq -c '[.mended, .error]')" = '[["characters"],"line 2: a character that no name can hold"]' ]
    [ "$("$x" --as-is q.jsonl | jq -c '[.mended, .parses]')" = '[null,false]' ]
}

@test "the error is the parser's, also where no body is asked for" {
    jq -cn '{task_id: "11", text: "    s = s.replace(ch, \"\", 1)\n    return s\n"}' >m.jsonl
    [ "$("$x" --bench mbpp m.jsonl | jq -c '[.parses, .error]')" = '[false,"line 1: unexpected indent"]' ]
}

@test "reasoning that came apart: used only when there is no answer; overflow is told and counted" {
    jq -cn '{task_id: "Basic/0", text: "", finish: "length", thinking: "So\ndef f(n): return n\nWait,"}' >t.jsonl
    jq -cn '{task_id: "Basic/1", text: "def f(n): return 1", finish: "stop", thinking: "def f(n): return n"}' >>t.jsonl
    jq -cn '{task_id: "Basic/2", text: "<think>\nI wonder"}' >>t.jsonl
    jq -cn '{task_id: "Basic/3", text: "None.", finish: "stop", thinking: null}' >>t.jsonl
    run --separate-stderr -0 "$x" --stats t.jsonl
    [ "$(jq -c '[.how, .thinking, .code]' <<<"$output" | tr -d '\n')" = '["thinking","overflow","def f(n): return n\n"]["raw","closed","def f(n): return 1\n"]["none","overflow",""]["none",null,""]' ]
    [ "${stderr_lines[0]}" = "apr-extract: 4 answers: 0 fence, 0 open-fence, 1 raw, 1 thinking, 2 none" ]
    [ "${stderr_lines[1]}" = "apr-extract: 2 parse; 0 bodies, 0 mended, 0 joined, 0 lost statements" ]
    [ "${stderr_lines[2]}" = "apr-extract: 3 with thinking, 2 of them without its end" ]
    run --separate-stderr -0 "$x" -v --bench basic t.jsonl
    [[ "$stderr" == *"2 parse, 1 define the entry point; "* ]]
}

@test "--lang: fences of that language, bodies up to their brace" {
    jq -cn '{task_id: "a", text: "```python\ndef f(): pass\n```\n```js\nconst f = () => 1;\n```"}' >l.jsonl
    [ "$("$x" --lang javascript l.jsonl | jq -c '[.lang, .code, has("parses")]')" = '["javascript","const f = () => 1;\n",false]' ]
    jq -cn '{task_id: "a", text: "    return x;\n}\n\nint main() {}\n"}' >l.jsonl
    [ "$("$x" --lang cpp l.jsonl | jq -c '[.lang, .form, .code]')" = '["cpp","body","    return x;\n}\n"]' ]
    run -64 "$x" --lang cobol l.jsonl
}

# bats test_tags=long
@test "reference solutions go through unchanged, however they are wrapped" {
    for b in humaneval mbpp basic basic-mbpp; do
        jq -c --arg b $b 'if .prompt then {task_id, code: (.prompt + .canonical_solution)} else {task_id, code} end
                          | .code |= gsub("\r"; "")' < <(zcat "$TOP/data/bench/"$(sed -n 's/^humaneval$/HumanEval/; s/$/.jsonl.gz/p' <<<$b)) |
            jq -c 'select(.task_id | type == "string" or (. > 10 and . < 511) or . > 9000)' >$b.all
        jq -r '.code | sub("^\\s*\n"; "") | sub("\\s*$"; "")' $b.all >$b.want
        for w in '.' '"```python\n\(.)\n```"' '"Sure:\n\n```\n\(.)\n```\nDone.\n"' '"Here:\n~~~py\n\(.)\n~~~"' '"```python\n\(.)\n"' \
            '"\(.)\n```\n\nThis is it."' '"Code:\n\n\(.)\n\nThis works because of it.\n### Note\nx"' '"\(.)\n**Explanation**: good.\n"' \
            '"\(.)<|im_end|>\n<|im_start|>user\nhey"' '"<think>\n```python\ndef x(:\n```\n</think>\n```python\n\(.)\n```"' \
            '"```python\nprint(1)\n```\n```python\n\(.)\n```\n```\n1\n```"' 'gsub("\n"; "\r\n")' '"[BEGIN]\n\(.)\n[DONE]\nnext"' \
            '"1. Do:\n\n   ```python\n" + (split("\n") | map("   " + .) | join("\n")) + "\n   ```\n"' \
            '"> ```python\n" + (split("\n") | map("> " + .) | join("\n")) + "\n> ```\n"'; do
            jq -c "{task_id, text: (.code | $w)}" $b.all | "$x" --bench $b >got.jsonl
            jq -r '.code | sub("\n$"; "")' got.jsonl >got
            # white space alone on a line is all that may differ
            diff -Z $b.want got >diff.txt || { echo "$b, $w:"; head -20 diff.txt; return 1; }
        done
    done
}

@test "NUL and lone surrogates become U+FFFD, and are counted" {
    printf '%s\n' '{"task_id":"a","text":"```python\ns = \"\ud83d|\u0000|\ude00|\ud83d\ude00|\\u0000|\\ud83d\"\ndef f(): pass\n```"}' >n.jsonl
    run --separate-stderr -0 "$x" --stats n.jsonl
    [ "$(jq -r .code <<<"$output" | head -1)" = $'s = "\uFFFD|\uFFFD|\uFFFD|\U1F600|\\u0000|\\ud83d"' ]
    [[ "$stderr" == *"1 with NUL or lone surrogates, now U+FFFD"* ]]
}

@test "an answer of 30 MB, of fences or of one unclosed bracket" {
    { printf '{"task_id":"a","text":"'; yes '```python\ndef f(x):\n    return x\n```\n' | head -900000 | tr -d '\n'; echo '"}'; } >big.jsonl
    run --separate-stderr -0 timeout 120 "$x" big.jsonl
    [ "$(jq -r '[.code, .fences] | @text' <<<"$output")" = '["def f(x):\n    return x\n",900000]' ]
    { printf '{"task_id":"a","text":"def f(x):\\n    return '; yes '(x,' | head -10000000 | tr -d '\n'; echo '"}'; } >big.jsonl
    run --separate-stderr -0 timeout 120 "$x" big.jsonl
    [[ "${output: -300}" == *'"parses":false,"error":"line 2: too many nested brackets"'* ]]
}

# many WHAT TIMES [WHAT TIMES...]: each that often, one behind the other
many() { while [ $# -gt 0 ]; do yes "$1" | head -"$2" | tr -d '\n'; shift 2; done; }

@test "endless repetitions of marks, quotes, names and calls take no longer than reading them" {
    { printf '{"task_id":"a","text":"'; many '<s>' 40000 '\n' 320000; echo '"}'; } >marks.jsonl
    for what in '\\\"' 'f( ' 'has_close_elements( ' '/* ' '{ ' 'f = ' "' "; do
        { printf '{"task_id":"CPP/0","text":"```cpp\\n'; many "$what" 300000; echo '\n```"}'; } >>cpp.jsonl
    done
    for what in 'x = = 1\n' 'f(x) = 1\n' 'lambda: x=1\n'; do
        { printf '{"task_id":"a","text":"'; many "$what" 30000; echo 'def f(): pass\n"}'; } >>marks.jsonl
    done
    run -0 timeout 60 "$x" marks.jsonl
    run -0 timeout 60 "$x" --bench humaneval-x-cpp cpp.jsonl -o code.jsonl
    [ "$(wc -l <code.jsonl)" = 7 ]
}

@test "the benchmark's language, values, calls, and programs that read" {
    V=$TOP/tests/vectors/bench T=$BATS_TEST_TMPDIR
    jq -cn '{task_id: "x", text: "```c\nint main(void) { return 0; }\n```"}' >"$T/c.jsonl"
    [ "$("$x" --lang c "$T/c.jsonl" | jq -c '[.lang, .code]')" = '["c","int main(void) { return 0; }\n"]' ]
    jq -c '{task_id, sample, text: ("```\n" + .code + "\n```")}' "$V/multipl-e-cpp.code.jsonl" | "$x" --bench "$V/multipl-e-cpp.yaml" >"$T/cpp.jsonl"
    [ "$(jq -r .lang "$T/cpp.jsonl" | sort -u)" = cpp ]
    run --separate-stderr -64 "$x" --bench basic --lang c "$T/c.jsonl"
    [ "${stderr_lines[0]}" = "apr-extract: --lang c: the benchmark basic is in python" ]
    jq -cn '{task_id: "sample_0", text: "First it is reversed, then\n\n`assert f([3, 1]) == [1, 3, 2]`\n"}' |
        "$x" --bench "$V/cruxeval-o.yaml" | jq -ce '.form == "answer" and .code == "assert f([3, 1]) == [1, 3, 2]\n"'
    jq -cn '{task_id: "sample_0", text: "[ANSWER]f([3, 1])[/ANSWER]"}, {task_id: "sample_1", text: "The value is 3."}' |
        "$x" --bench "$V/cruxeval-i.yaml" | jq -cs -e 'map([.code, .how]) == [["f([3, 1])\n", "fence"], ["", "none"]]'
}

# bats test_tags=long
@test "answers in fences of every benchmark are judged as their code is" {
    V=$TOP/tests/vectors/bench T=$BATS_TEST_TMPDIR
    for b in cruxeval-i cruxeval-o evalplus evalplus-mbpp humaneval-x-python livecodebench mbpp-sanitized mbpp-script; do
        jq -c 'select(.code != "") | {task_id, sample, text: ("Here it is:\n\n```python\n" + .code + "\n```\nDone.")}' "$V/$b.code.jsonl" |
            "$x" --bench "$V/$b.yaml" >"$T/code"
        jq -c 'select(.code != "") | [.task_id, .sample]' "$V/$b.code.jsonl" >"$T/asked"
        "$APR_BIN/apr-sandbox" --bench "$V/$b.yaml" "$T/code" 2>/dev/null | jq -c '[.task_id, .sample, .passed]' >"$T/got"
        jq -c --slurpfile a "$T/asked" 'select([.task_id, .sample] as $k | $a | index([$k])) | [.task_id, .sample, .passed]' "$V/$b.expect.jsonl" >"$T/want"
        diff "$T/want" "$T/got" || { echo "$b"; false; }
    done
}

@test "tokens and log-probability go along; thinking_open is what the writer says" {
    jq -cn '{task_id: "x", text: "def f(): pass", tokens_generated: 9, logprob_sum: -1.5}' >s.jsonl
    [ "$("$x" s.jsonl | jq -c '[.tokens_generated, .logprob_sum]')" = '[9,-1.5]' ]
    jq -cn '{task_id: "x", text: "", thinking: "def f(): pass", finish: "length", thinking_open: false}' >s.jsonl
    [ "$("$x" s.jsonl | jq -c '[.thinking, .how]')" = '["closed","thinking"]' ]
}

@test "-o writes it whole, with a sidecar" {
    "$x" one.jsonl -o out.jsonl
    cmp out.jsonl <("$x" one.jsonl)
    [ "$(jq -r '.inputs[0].path' out.jsonl.meta.json)" = one.jsonl ]
}

@test "damaged input is 65 and names its line; the other lines are done" {
    head -c 40 one.jsonl >cut.jsonl
    { cat one.jsonl; echo '{"task_id":1}'; } >notext.jsonl
    { cat one.jsonl; echo '{"task_id":1,"text":7}'; } >number.jsonl
    { cat one.jsonl; echo '{"task_id":1,"text":"","thinking":7}'; } >thinking.jsonl
    { cat one.jsonl; echo '{"task_id":1,"text":"\ud8"}'; } >escape.jsonl
    { cat one.jsonl; printf '{"task_id":1,"text":"\xff"}\n'; } >utf8.jsonl
    printf '{"task_id":1,"text":"\\ud800"' >half.jsonl
    sed 's,sample/1,sample/2,' one.jsonl >schema.jsonl
    sed 's,Basic/0,Basic/999,' one.jsonl >id.jsonl
    for f in cut:1 notext:2 number:2 thinking:2 escape:2 utf8:2 half:1 schema:1; do
        run --separate-stderr -65 "$x" "${f%:*}.jsonl" -o out.jsonl
        [[ "$stderr" == *"${f%:*}.jsonl:${f#*:}"* ]]
        # what is left is the good line, or if there is none nothing
        if [ "${f#*:}" = 2 ]; then cmp out.jsonl <("$x" one.jsonl); else [ ! -e out.jsonl ]; fi
        rm -f out.jsonl out.jsonl.meta.json
        [ -z "$(ls out* 2>/dev/null)" ]
    done
    run --separate-stderr -65 "$x" --bench basic id.jsonl
    [[ "$stderr" == *Basic/999* ]]
}

@test "a damaged line or an unknown task in the middle: the rest is written, the status is 65" {
    for l in '{bad' '{"task_id":"Basic/999","text":"x"}' '' '{"task_id":"Basic/1"}'; do
        { cat one.jsonl; echo "$l"; cat one.jsonl; } >mid.jsonl
        run --separate-stderr -65 "$x" --bench basic mid.jsonl
        [ "$(jq -r .task_id <<<"$output" | tr '\n' ' ')" = "Basic/0 Basic/0 " ]
        [[ "${stderr_lines[0]}" == "apr-extract: mid.jsonl:2: "* ]]
        [ "${#stderr_lines[@]}" = 1 ]
        run -65 "$x" --bench basic mid.jsonl -o out.jsonl
        [ "$(wc -l <out.jsonl)" = 2 ]
        [ "$(jq -r .sha256 out.jsonl.meta.json)" = "$(sha256sum <out.jsonl | cut -d' ' -f1)" ]
    done
    { cat one.jsonl; printf '{"task_id":"Basic/1","text":"x"}'; } >torn.jsonl
    run --separate-stderr -65 "$x" torn.jsonl
    [ "$(wc -l <<<"$output")" = 1 ]
}

@test "keys of the wrong kind are damage" {
    bad() { # MEMBERS MESSAGE
        echo "{\"text\":\"def f(): pass\",$1}" >k.jsonl
        run --separate-stderr -65 "$x" --bench basic k.jsonl
        [[ "$stderr" == "apr-extract: k.jsonl:1: "$2 ]] || { echo "$stderr"; false; }
        [ -z "$output" ]
    }
    bad '"task_id":["a"]' '"task_id": expected a text or a whole number'
    bad '"task_id":1.5' '"task_id": expected a text or a whole number, found 1.5'
    bad '"task_id":1e300' '"task_id": expected a text or a whole number, found 1e+300'
    bad '"task_id":true' '"task_id": expected a text or a whole number'
    bad '"task_id":"Basic/0","sample":-3' '"sample": expected 0 or more, found -3'
    bad '"task_id":"Basic/0","bench":"mbpp"' 'the answer is to the benchmark mbpp, not basic'
    bad '"task_id":"Basic/0","bench":"basic-mbpp"' 'the answer is to the benchmark basic-mbpp, not basic'
    # other editions of the same tasks
    echo '{"task_id":"HumanEval/55","bench":"humaneval","text":"def fib(n): return n"}' >k.jsonl
    [ "$("$x" --bench humanevalplus k.jsonl | jq -c '[.bench, .defines]')" = '["humanevalplus",true]' ]
    echo '{"task_id":null,"text":"def fib(n): return n"}' >k.jsonl
    [ "$("$x" k.jsonl | jq -r .task_id)" = 1 ]
}

@test "exit codes" {
    run --separate-stderr -64 "$x" a b
    run --separate-stderr -66 "$x" nope.jsonl
    run --separate-stderr -66 "$x" --bench nope one.jsonl
    run --separate-stderr -73 "$x" one.jsonl -o no/such/dir/x
    run bash -c "'$x' one.jsonl >/dev/full"
    [ "$status" = 74 ]
}
