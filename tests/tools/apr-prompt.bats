#!/usr/bin/env bats
# apr-prompt - benchmarks as prompts
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    p="$APR_BIN/apr-prompt"
}

@test "every shipped benchmark gives a prompt for each of its problems" {
    for b in basic:164 basic-mbpp:100 humaneval:164 mbpp:500; do
        run --separate-stderr -0 "$p" --bench "${b%:*}"
        [ "${#lines[@]}" = "${b#*:}" ]
        [ "$(jq -s 'map(select(.schema != "prompt/1" or .prompt == "" or .sample != 0)) | length' <<<"$output")" = 0 ]
    done
}

@test "the standard wording, byte for byte" {
    "$p" --bench humaneval --limit 1 | jq -j .prompt >got
    { printf 'Complete the following Python function. Return the whole function.\n\n'
      gzip -dc "$BATS_TEST_DIRNAME/../../data/bench/HumanEval.jsonl.gz" | head -1 | jq '.prompt | sub("\\s+$"; "")' -j; } >want
    cmp got want
    "$p" --bench basic-mbpp --limit 1 | jq -j .prompt >got
    gzip -dc "$BATS_TEST_DIRNAME/../../data/bench/basic-mbpp.jsonl.gz" | head -1 |
        jq -j '.text + "\nYour code should pass these tests:\n\n" + (.test_list | join("\n"))' >want
    cmp got want
    [ "$("$p" --bench humaneval --limit 1 | jq .max_tokens)" = 400 ]
    [ "$("$p" --bench mbpp --limit 1 | jq .max_tokens)" = 320 ]
}

@test "--samples numbers them, --max-tokens bounds them, -o has a sidecar" {
    "$p" --bench basic --limit 2 --samples 3 --max-tokens 9 -o out.jsonl
    [ "$(jq -c '[.task_id, .sample, .max_tokens]' out.jsonl | tr -d '\n')" = \
      '["Basic/0",0,9]["Basic/0",1,9]["Basic/0",2,9]["Basic/1",0,9]["Basic/1",1,9]["Basic/1",2,9]' ]
    [ "$(jq -r .sha256 out.jsonl.meta.json)" = "$(sha256sum <out.jsonl | cut -d' ' -f1)" ]
}

@test "a data file of one's own" {
    printf '{"task_id":"x/1","prompt":"def f():\\n","entry_point":"f","test":"def check(c): pass"}\n' >mine.jsonl
    [ "$("$p" --bench mine.jsonl | jq -r .bench)" = mine ]
    printf '{"task_id":7,"text":"do","test_list":["assert g()"]}\n' | gzip >m.jsonl.gz
    [ "$("$p" --bench m.jsonl.gz | jq -r .prompt | tail -1)" = "assert g()" ]
}

@test "other languages: the function's name is that of the tests and of the judge, in every task" {
    printf 'strategy: name\nprogram: "{entry}"\n' >name.yaml
    d="$TOP/data/bench" v="$TOP/tests/vectors/bench"
    for b in cpp,humaneval-x-cpp,$d/humaneval_cpp.jsonl.gz javascript,humaneval-x-js,$d/humaneval_js.jsonl.gz c,basic-c,$d/basic-c.jsonl.gz \
             cpp,$v/multipl-e-cpp.yaml,$v/multipl-e-cpp.jsonl javascript,$v/multipl-e-js.yaml,$v/multipl-e-js.jsonl; do
        IFS=, read -r lang bench data <<<"$b"
        "$p" --bench "$bench" --strategy ./name.yaml | jq -c '[.task_id, .prompt]' >names
        PYTHONPATH="$TOP/tests/sandbox-langs" python3 -B - "$lang" "$data" names <<'EOF'
import gzip, json, re, sys
from drive import lang_split
lang, data, names = sys.argv[1:]
names = dict(map(json.loads, open(names)))
n = 0
for t in map(json.loads, gzip.open(data, 'rt') if data.endswith('gz') else open(data)):
    name = names[t.get('task_id') or t['name']]
    assert name == lang_split(lang, t['prompt'])[2], name
    assert re.search(r'(?<![\w$])' + re.escape(name) + r'\s*[(;]', t.get('test') or t['tests']), name
    n += 1
assert n == len(names) > 1, n
EOF
    done
}

@test "mbppplus: the assert that is shown is one, in every task" {
    "$p" --bench mbppplus >out.jsonl
    python3 - out.jsonl "$TOP/data/bench/MbppPlus.jsonl.gz" <<'EOF'
import ast, gzip, json, sys
task = {t['task_id']: t for t in map(json.loads, gzip.open(sys.argv[2], 'rt'))}
n = 0
for r in map(json.loads, open(sys.argv[1])):
    words, shown = r['prompt'].split('\nYour code should pass these tests:\n\n')
    assert [type(s) for s in ast.parse(shown).body] == [ast.Assert], shown
    doc = task[r['task_id']]['prompt'].strip()
    assert doc[:3] == doc[-3:] == '"""' and doc[3:-3].strip() == words + '\n' + shown, r['task_id']
    n += 1
assert n == 378, n
EOF
}

strategies="standard few-shot few-shot-trivial scot cgo completion prefill system"

@test "every strategy for every shipped benchmark: whole prompts, no placeholder left" {
    for s in $strategies; do
        for b in basic:164 basic-mbpp:100 humaneval:164 mbpp:500; do
            run --separate-stderr -0 "$p" --bench "${b%:*}" --strategy "$s"
            [ "${#lines[@]}" = "${b#*:}" ]
            [ "$(jq -s --arg s "$s" 'map(select(.schema != "prompt/1" or .strategy != $s or .prompt == "" or .max_tokens < 320
                or ([.system, .prompt, .prefill, (.messages // [])[].content] | map(select(. != null)) | join(" ")
                    | test("[{](prompt|text|tests|entry|code|feedback|language|fence)[}]")))) | length' <<<"$output")" = 0 ] || { echo "$s $b"; return 1; }
        done
    done
}

# strategies that have a form: program, words, answer (CRUXEval)
program="standard scot cgo completion prefill system" words="standard scot cgo prefill system" answer="standard scot prefill system"

@test "every form that a strategy has: whole prompts in the task's language, for a second round too" {
    for b in humaneval-x-cpp:C++:cpp humaneval-x-js:JavaScript:javascript basic-c:C:c; do
        IFS=: read -r b language fence <<<"$b"
        for s in $program; do
            "$p" --bench "$b" --strategy "$s" >out.jsonl
            [ "$(jq -s --arg l "$language" 'map(select(([.system, .prompt, .prefill] | map(select(. != null)) | join(" ")
                | test("[{](prompt|text|tests|entry|code|feedback|language|fence)[}]|Python")) or (.template == "chat" and (.prompt | contains($l) | not)))) | length' out.jsonl)" = 0 ] || { echo "$s $b"; return 1; }
        done
        [ "$("$p" --bench "$b" --strategy prefill --limit 1 | jq -r .prefill)" = "\`\`\`$fence" ]
    done
    v="$TOP/tests/vectors/bench"
    for s in $words; do
        [ "$("$p" --bench "$v/livecodebench.yaml" --strategy $s | jq -r .strategy | sort -u)" = $s ]
    done
    for s in $answer; do
        [ "$("$p" --bench cruxeval-i --strategy $s | jq -s 'map(select(.prompt | contains("??"))) | length')" = 800 ]
    done
    second() { # BENCH TASK FENCE
        printf '{"schema":"code/1","task_id":"%s","sample":0,"code":"x\\n"}\n' "$2" >c.jsonl
        printf '{"schema":"verdict/1","task_id":"%s","sample":0,"passed":false,"verdict":"no_entry_point"}\n' "$2" >v.jsonl
        "$p" --bench "$1" --strategy reflexion --samples-from c.jsonl --verdicts v.jsonl >r.jsonl
        [ "$(jq -r '.messages[1].content' r.jsonl)" = "\`\`\`$3"$'\nx\n```' ]
        jq -r .prompt r.jsonl | head -1
    }
    [ "$(second humaneval-x-js JavaScript/2 javascript)" = "This solution fails. It does not define the function that is asked for, truncateNumber." ]
    [ "$(second basic-c C/0 c)" = "This solution fails. It does not define the function that is asked for, gcd_of." ]
    [ "$(second cruxeval-i sample_0 python)" = "This answer fails. It is not a call of f." ]
    [ "$(second "$v/livecodebench.yaml" "$(jq -r .question_id "$v/livecodebench.jsonl" | head -1)" python)" = "This solution fails. It does not define the function that is asked for." ]
}

@test "the forms that a strategy cannot have are errors, and the manual says which" {
    x() { # BENCH STRATEGY...
        for s in "${@:2}"; do
            run --separate-stderr -78 "$p" --bench "$1" --strategy "$s"
            [[ "$stderr" == *"strategy $s has no text for the form "* ]]
        done
    }
    x humaneval-x-cpp few-shot few-shot-trivial
    x "$TOP/tests/vectors/bench/livecodebench.yaml" few-shot few-shot-trivial completion
    x cruxeval-o few-shot few-shot-trivial cgo completion
}

@test "raw completions in other languages keep the brace that closes the function, and pass" {
    for p in /usr/bin/gcc /usr/bin/node; do [ -x $p ] || skip "$p is not there"; done
    raw() { # BENCH DATA
        stop="$("$APR_BIN/apr-prompt" --bench "$1" --strategy completion --limit 1 | jq -c .stop)"
        gzip -dc "$TOP/data/bench/$2" | head -12 | jq -c --argjson stop "$stop" --arg more "$3" '
            ((.canonical_solution | rtrimstr("\n")) + "\n\n" + $more) as $t | ([$stop[] as $s | $t | index($s) // empty] | min) as $cut
            | {schema: "sample/1", task_id, sample: 0, finish: "stop", text: $t[:$cut]}' >a.jsonl
        [ "$(jq -r .text a.jsonl | grep -c "${3%% *}")" = 0 ]
        [ "$("$APR_BIN/apr-extract" --bench "$1" a.jsonl | "$APR_BIN/apr-sandbox" --bench "$1" | jq -r .verdict | sort | uniq -c | xargs)" = "12 pass" ]
    }
    raw basic-c basic-c.jsonl.gz '#define main other'
    raw humaneval-x-js humaneval_js.jsonl.gz 'console.log(1 +'
}

@test "the name of the function and all asserts are in each mbpp prompt" {
    for s in $strategies; do
        for b in mbpp basic-mbpp; do
            "$p" --bench $b --strategy "$s" >out.jsonl
            python3 - out.jsonl "$BATS_TEST_DIRNAME/../../data/bench/$b.jsonl.gz" <<'EOF'
import ast, gzip, json, sys
task = {str(t['task_id']): t for t in map(json.loads, gzip.open(sys.argv[2], 'rt'))}
for r in map(json.loads, open(sys.argv[1])):
    t = task[r['task_id']]
    assert all(a in r['prompt'] for a in t['test_list']), r['task_id']
    called = [n.func.id for n in ast.walk(ast.parse(t['test_list'][0])) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    if r['strategy'] not in ('standard', 'completion'):
        name = r['prompt'].split('The function is called ')[-1].split('.')[0]
        assert name in called, (r['task_id'], name)
EOF
        done
    done
}

@test "turns before the question, a system turn, a begun answer, raw text" {
    run -0 "$p" --bench humaneval --strategy few-shot --limit 1
    [ "$(jq -c '[.messages[].role]' <<<"$output")" = '["user","assistant","user","assistant","user","assistant"]' ]
    [ "$(jq -r '.messages[0].content' <<<"$output" | head -1)" = "$(jq -r .prompt <<<"$output" | head -1)" ]
    run -0 "$p" --bench mbpp --strategy system --limit 1
    [[ "$(jq -r .system <<<"$output")" == "You are an expert"* ]]
    run -0 "$p" --bench basic --strategy prefill --limit 1
    [ "$(jq -c '[.prefill,.stop,.template]' <<<"$output")" = '["```python\n",["\n```"],"chat"]' ]
    run -0 "$p" --bench humaneval --strategy completion --limit 1
    [ "$(jq -c '[.template,.stop]' <<<"$output")" = '["raw",["\nclass","\ndef","\n#","\nif","\nprint"]]' ]
    [ "$(jq .prompt <<<"$output")" = "$(gzip -dc "$BATS_TEST_DIRNAME/../../data/bench/HumanEval.jsonl.gz" | head -1 | jq .prompt)" ]
}

@test "a strategy that needs longer answers asks for them; --max-tokens has the last word" {
    [ "$("$p" --bench humaneval --strategy scot --limit 1 | jq .max_tokens)" = 1024 ]
    [ "$("$p" --bench humaneval --strategy scot --limit 1 --max-tokens 99 | jq .max_tokens)" = 99 ]
    [ "$("$p" --bench humaneval --strategy system --limit 1 | jq .max_tokens)" = 400 ]
}

@test "upstream's names" {
    for n in default:standard structured-cot:scot fewshot:few-shot code-gen-opt:cgo; do
        [ "$("$p" --bench basic --limit 1 --strategy "${n%:*}" | jq -r .strategy)" = "${n#*:}" ]
    done
    run --separate-stderr -64 "$p" --bench basic --strategy reflect
    [[ "$stderr" == *"reflexion is for a second round"* ]]
}

@test "the exemplars are right, and no problem of any benchmark" {
    for b in humaneval mbpp; do
        "$p" --bench $b --limit 1 --strategy few-shot
        "$p" --bench $b --limit 1 --strategy few-shot-trivial
    done >shots.jsonl
    python3 - shots.jsonl "$BATS_TEST_DIRNAME/../../data/bench" <<'EOF'
import doctest, glob, gzip, json, re, sys
names, words, tasks = set(), set(), 0
grams = lambda s: {tuple(w[i:i + 8]) for w in [re.findall(r'\w+', s.lower())] for i in range(len(w) - 7)}
called = lambda s: re.findall(r'(\w+) *\(', s)
for f in glob.glob(sys.argv[2] + '/*.jsonl.gz'):
    for t in map(json.loads, gzip.open(f, 'rt')):
        tasks += 1
        code = t.get('canonical_solution') or t['code']
        names.update([t['entry_point']] if 'entry_point' in t else [])
        names.update(n for x in t.get('test_list', []) for n in called(x))
        names.update(re.findall(r'def (\w+)', code) + re.findall(r'^(?:const|function) (\w+)', t.get('prompt', ''), re.M))
        if 'humaneval_cpp' in f or 'basic-c' in f:
            names.update(called(t['prompt']))
        words |= grams(t.get('text') or t.get('prompt') or t['code'])
assert tasks >= 3847 and {'similar_elements', 'has_close_elements', 'hasCloseElements', 'gcd_of'} <= names, tasks
seen = 0
for r in map(json.loads, open(sys.argv[1])):
    text = ''.join(m['content'] + '\n' for m in r.get('messages', [])) or r['prompt'].split('in the same way')[0]
    for code in re.findall(r'```python\n(.*?)```', text, re.S):
        space = {}
        exec(code, space)
        name = re.search(r'def (\w+)', code)[1]
        assert name not in names, name
        shown = re.findall(r'^assert ' + name + r'.*$', text, re.M)
        for a in shown:
            exec(a, space)
        said = re.search(r'(.*)\nThe function is called ' + name + r'\.', text)
        assert (len(shown) > 0) == (said is not None), name
        assert said is None or not grams(said[1]) & words, name
        doc = re.search(r'def ' + name + r'\([^"`]*"""(.*?)"""', text, re.S)
        if doc:
            assert not grams(doc[1]) & words, name
            test = doctest.DocTestParser().get_doctest(doc[1].replace('\n    ', '\n'), space, name, None, 0)
            assert doctest.DocTestRunner().run(test).failed == 0
        seen += 1
assert seen == 10, seen
EOF
}

@test "a strategy of one's own; what is wrong with it is named" {
    printf 'strategy: mine\nmbpp:\n  text: "{entry} {nothing}: {text}"\n  stop:\n    - END\n' >mine.yaml
    [ "$("$p" --bench mbpp --strategy ./mine.yaml --limit 1 | jq -c '[.prompt[:24],.stop]')" = '["remove_Occ {nothing}: Wr",["END"]]' ]
    run --separate-stderr -78 "$p" --bench basic --strategy ./mine.yaml
    [[ "$stderr" == *"strategy mine has no text for the form humaneval, which "* ]]
    bad() { # YAML PATTERN
        printf "$1" >bad.yaml
        run --separate-stderr -78 "$p" --bench basic --strategy ./bad.yaml
        [[ "$stderr" == *"bad.yaml:"$2 ]] || { echo "$stderr"; return 1; }
    }
    bad 'humaneval: a\nother: b\n' "2:1:*"
    bad 'humaneval:\n  stop:\n    - END\n' "2:3: humaneval: text is missing"
    bad 'humaneval:\n  text: a\n  stop: b\n' "3:9: stop: expected a list of texts"
    bad 'humaneval:\n  text: a\n  stop:\n    - ""\n' "4:7: stop: *"
    bad 'humaneval:\n  text: a\n  turns:\n    - user: b\n' "4:7: turns: expected user and assistant"
    bad 'humaneval:\n  text: a\n  template: jinja\n' "3:13: template: expected chat or raw"
    bad 'humaneval:\n  text: a\n  template: raw\n  system: b\n' "*a raw prompt is one text*"
    bad 'humaneval:\n  text: a\n  max_tokens: -1\n' "3:15: max_tokens: *"
}

# a second round: code that tries to carry the hidden tests' values out, seven ways
leaky() {
    gzip -dc "$BATS_TEST_DIRNAME/../../data/bench/HumanEval.jsonl.gz" | python3 -c '
import json, sys
bodies = ["raise Exception(repr(a))", "raise type(repr(a), (Exception,), {})()", "raise KeyError(a[0])", "return list(a)",
          "int(str(a))", "raise SyntaxError(repr(a))", "raise TypeError(\"f() takes %s positional arguments but %s were given\" % (a[0], a))"]
for t in map(json.loads, sys.stdin):
    for i, b in enumerate(bodies):
        print(json.dumps({"schema": "code/1", "task_id": t["task_id"], "sample": i, "code": "def f(): pass\n\n\ndef %s(*a):\n    %s\n" % (t["entry_point"], b)}))'
}

@test "second round: no prompt holds a value of a hidden test" {
    leaky >code.jsonl
    "$APR_BIN/apr-sandbox" --bench humaneval code.jsonl -o v.jsonl
    "$p" --bench humaneval --strategy reflexion --samples-from code.jsonl --verdicts v.jsonl >second.jsonl
    [ "$(wc -l <second.jsonl)" = "$(jq -c 'select(.passed | not)' v.jsonl | wc -l)" ]
    [ "$(wc -l <second.jsonl)" -gt 1100 ]
    python3 - second.jsonl "$BATS_TEST_DIRNAME/../../data/bench/HumanEval.jsonl.gz" v.jsonl <<'EOF'
import ast, gzip, json, re, sys
task = {t['task_id']: t for t in map(json.loads, gzip.open(sys.argv[2], 'rt'))}
token = lambda s: set(re.findall(r'[A-Za-z_]\w*|\d[\w.]*', s))
def hidden(test):
    for n in ast.walk(ast.parse(test)):
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == 'candidate':
            for a in n.args:
                yield from (c.value for c in ast.walk(a) if isinstance(c, ast.Constant))
        if isinstance(n, ast.Assert):
            yield from (c.value for c in ast.walk(n.test) if isinstance(c, ast.Constant))
checked = leaks_before = 0
detail = {(r['task_id'], r['sample']): r['detail'] for r in map(json.loads, open(sys.argv[3]))}
for r in map(json.loads, open(sys.argv[1])):
    t = task[r['task_id']]
    said = r['prompt'].split('Say in one or two')[0].removeprefix('This solution fails.')
    seen = t['prompt'] + r['messages'][1]['content']
    assert [m['role'] for m in r['messages']] == ['user', 'assistant'] and t['prompt'].rstrip() in r['messages'][0]['content']
    for v in hidden(t['test']):
        if isinstance(v, str) and len(v) > 1 and v not in seen:
            assert not re.search(r'(?<!\w)' + re.escape(v) + r'(?!\w)', said), (r['task_id'], v, said)
            leaks_before += v in detail[r['task_id'], r['sample']]
        elif isinstance(v, (int, float)) and not isinstance(v, bool) and repr(v) not in token(seen):
            assert repr(v) not in token(said), (r['task_id'], v, said)
            leaks_before += repr(v) in token(detail[r['task_id'], r['sample']])
        checked += 1
assert checked > 10000 and leaks_before > 1000, (checked, leaks_before)  # the verdicts' details do hold them
EOF
}

# what a second round says of one answer: BENCH TASK CODE
said() {
    jq -nc --arg t "$2" --arg c "$3" '{schema: "code/1", task_id: $t, sample: 0, code: $c}' >c.jsonl
    "$APR_BIN/apr-sandbox" --bench "$1" c.jsonl -o v.jsonl
    "$p" --bench "$1" --strategy reflexion --samples-from c.jsonl --verdicts v.jsonl | jq -r .prompt | sed '/^$/,$d'
}

@test "second round: humanevalplus and mbppplus tell what humaneval and mbpp do, and no hidden input" {
    range=$'def truncate_number(number):\n    return [][3]'
    seven=$'def truncate_number(number):\n    return 7'
    ints=$'def truncate_number(number):\n    return number % 1 if number < 4 else [][number]'
    [ "$(said humaneval HumanEval/2 "$range")" = "This solution fails. It raises an exception, IndexError: list index out of range." ]
    [ "$(said humanevalplus HumanEval/2 "$range")" = "This solution fails. It raises an exception, IndexError: list index out of range. One of the examples fails: truncate_number(3.5)" ]
    for b in humaneval humanevalplus; do
        [ "$(said $b HumanEval/2 "$seven")" = "This solution fails. It returns a wrong result. One of the examples fails: truncate_number(3.5)" ]
    done
    [ "$(said humanevalplus HumanEval/2 "$ints")" = "This solution fails. It raises an exception, TypeError: list indices must be integers or slices, not float." ]
    [ "$(said mbppplus Mbpp/2 $'def similar_elements(a, b):\n    return 7')" = "This solution fails. It returns a wrong result.
The test that fails is
assert set(similar_elements((3, 4, 5, 6),(5, 7, 4, 10))) == set((4, 5))" ]
    [ "$(said mbppplus Mbpp/2 $'def similar_elements(a, b):\n    return tuple(set(a) & set(b)) if len(a) < 5 else 7')" = "This solution fails. It returns a wrong result." ]
}

@test "second round: only answers that failed, in the order of the code, under the same sample numbers" {
    printf '{"schema":"code/1","task_id":"Basic/%s","sample":%s,"code":"%s"}\n' 2 0 "x = 1" 0 1 "def f(n):\\n    return n" 0 0 "pass" 1 0 "" >c.jsonl
    printf '{"schema":"verdict/1","task_id":"Basic/%s","sample":%s,"passed":%s,"verdict":"%s"}\n' 0 0 false wrong_answer \
        0 1 true pass 1 0 false harness_error 2 0 false no_entry_point >v.jsonl
    run --separate-stderr -0 "$p" --bench basic --strategy reflexion --samples-from c.jsonl --verdicts v.jsonl
    [ "$(jq -c '[.task_id,.sample]' <<<"$output" | tr -d '\n')" = '["Basic/2",0]["Basic/0",0]' ]
    [ "$(jq -r '.messages[1].content' <<<"${lines[0]}")" = $'```python\nx = 1\n```' ]
    [ "$(jq -r .prompt <<<"${lines[1]}" | head -1)" = "This solution fails. It returns a wrong result." ]
    run -0 "$p" --bench basic --strategy reflexion --samples-from c.jsonl --verdicts v.jsonl --limit 1
    [ "${#lines[@]}" = 1 ]
}

@test "second round: code and verdicts must belong together" {
    printf '{"schema":"code/1","task_id":"Basic/0","sample":0,"code":"pass"}\n' >c.jsonl
    printf '{"schema":"verdict/1","task_id":"Basic/0","sample":1,"passed":false,"verdict":"crash"}\n' >v.jsonl
    x() { run --separate-stderr "-$1" "$p" --bench "${4:-basic}" --strategy reflexion --samples-from "$2" --verdicts "$3" -o out; [ ! -e out ]; }
    x 65 c.jsonl v.jsonl
    [[ "$stderr" == *"c.jsonl:1: v.jsonl has no verdict on Basic/0, sample 0" ]]
    sed 's/"sample":1/"sample":0/' v.jsonl >v1.jsonl
    x 65 c.jsonl <(cat v.jsonl v1.jsonl)
    [[ "$stderr" == *"has 2 verdicts, c.jsonl 1 answers" ]]
    x 65 c.jsonl v1.jsonl humaneval
    [[ "$stderr" == *"c.jsonl:1: task_id Basic/0 is not in the benchmark humaneval" ]]
    x 65 <(sed 's/"code"/"cod"/' c.jsonl) v1.jsonl
    [[ "$stderr" == *":1: code is missing" ]]
    x 65 <(cat c.jsonl c.jsonl) v1.jsonl
    [[ "$stderr" == *":2: Basic/0, sample 0 is on line 1 too" ]]
    x 65 c.jsonl <(sed 's/"crash"/7/' v1.jsonl)
    x 65 c.jsonl <(sed 's/verdict.1/verdict\/2/' v1.jsonl)
    x 66 none.jsonl v1.jsonl
    run -64 "$p" --bench basic --strategy reflexion --samples-from c.jsonl
    run -64 "$p" --bench basic --samples-from c.jsonl --verdicts v1.jsonl
    run -64 "$p" --bench basic --strategy reflexion --samples-from c.jsonl --verdicts v1.jsonl --samples 2
}

@test "second round: code of 100 MB is quoted in part" {
    { printf '{"schema":"code/1","task_id":"Basic/0","sample":0,"code":"'; yes 'x = 1\n' | head -c 98000000 | tr -d '\n'; printf '"}\n'; } >c.jsonl
    printf '{"schema":"verdict/1","task_id":"Basic/0","sample":0,"passed":false,"verdict":"memory"}\n' >v.jsonl
    run -0 "$p" --bench basic --strategy reflexion --samples-from c.jsonl --verdicts v.jsonl
    [ "${#output}" -lt 40000 ]
}

@test "exit codes" {
    run --separate-stderr -64 "$p"
    run --separate-stderr -64 "$p" --bench basic operand
    run --separate-stderr -66 "$p" --bench nope
    run --separate-stderr -66 "$p" --bench basic --strategy nope
    run --separate-stderr -66 "$p" --bench nope.jsonl
    printf '{"task_id":1' >cut.jsonl
    run --separate-stderr -65 "$p" --bench cut.jsonl
    [[ "$stderr" == *cut.jsonl:1* ]]
    printf '{"task_id":"x/1","prompt":"int x;","test":"int main() {}"}\n' >x.jsonl
    printf 'name: x\ndata: x.jsonl\nformat: humaneval-x\nlang: cpp\n' >x.yaml
    run --separate-stderr -65 "$p" --bench x.yaml
    [[ "$stderr" == *"x.jsonl:1: prompt defines no function" ]]
    printf 'name: x\ndata: basic\nformat: other\n' >bad.yaml
    run --separate-stderr -78 "$p" --bench bad.yaml
    run --separate-stderr -73 "$p" --bench basic -o no/such/dir/x
    [ ! -e no ]
    run bash -c "'$p' --bench basic >/dev/full"
    [ "$status" = 74 ]
}
