#!/usr/bin/env bats
# apr-rank - one of several samples, without its tests
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-rank"
}

# TASK SAMPLE CODE
code() { jq -cn --arg t "$1" --argjson s "$2" --arg c "$3" '{schema:"code/1",task_id:$t,sample:$s,bench:"b",code:$c,how:"fence"}'; }
# TASK SAMPLE OUTPUT...
behaviour() { jq -cn '{schema:"behaviour/1",task_id:$ARGS.positional[0],sample:($ARGS.positional[1]|tonumber),bench:"b",
    outputs:$ARGS.positional[2:],ran:($ARGS.positional[2:]|length)}' --args "$@"; }
# TASK SAMPLE SUM TOKENS
sample() { jq -cn --arg t "$1" --argjson s "$2" --argjson p "$3" --argjson n "$4" \
    '{schema:"sample/1",task_id:$t,sample:$s,bench:"b",text:"t",tokens_generated:$n,logprob_sum:$p,logprobs:[1,2]}'; }

# two tasks with four samples each, the second's first
make() {
    { for s in 2 0 1 3; do code "t/2" $s "two$s"; code "t/1" $s "one$s"; done; code "t/1" 4 ""; } >code
    { behaviour t/1 0 a b; behaviour t/1 1 c d; behaviour t/1 2 c d; behaviour t/1 3 a '!E'; behaviour t/1 4 '!E' '!E'
      behaviour t/2 0 '!E' '!E'; behaviour t/2 1 '!E' '!E'; behaviour t/2 2 '!E' '!E'; behaviour t/2 3 x '!E'; } >beh
    { sample t/1 0 -10 10; sample t/1 1 -9 3; sample t/1 2 -4 2; sample t/1 3 -6 20; sample t/1 4 -0.1 1
      sample t/2 0 -8 4; sample t/2 1 -4 2; sample t/2 2 -3 2; sample t/2 3 -30 5; } >samples
}
chosen() { jq -c '[.task_id,.sample,.code,.rank.by,.rank.chosen,.rank.of]' | tr -d '\n'; }

@test "majority: the largest group that behaves alike; errors alone do not beat what works" {
    make
    [ "$("$x" code --behaviour beh | chosen)" = '["t/2",0,"two3","majority",3,4]["t/1",0,"one1","majority",1,5]' ]
    [ "$("$x" code --by majority --behaviour beh --samples samples | chosen)" = '["t/2",0,"two3","majority",3,4]["t/1",0,"one2","majority",2,5]' ]
    [ "$("$x" code --behaviour beh | jq -r .rank.reason)" = $'1 of 4 behave alike\n2 of 5 behave alike' ]
    [ "$("$x" code --behaviour beh | jq -r .rank.label | sort -u)" = "best of 5 by majority" ]
}

@test "logprob, first, shortest" {
    make
    [ "$("$x" code --by logprob --samples samples | chosen)" = '["t/2",0,"two2","logprob",2,4]["t/1",0,"one3","logprob",3,5]' ]
    [ "$("$x" code --by logprob --samples samples | jq -r .rank.reason)" = $'mean -1.500000 over 2 tokens\nmean -0.300000 over 20 tokens' ]
    [ "$("$x" --by first <code | chosen)" = '["t/2",0,"two0","first",0,4]["t/1",0,"one0","first",0,5]' ]
    [ "$(sed 's/two3/2/' code | "$x" --by shortest - | chosen)" = '["t/2",0,"2","shortest",3,4]["t/1",0,"one0","shortest",0,5]' ]
    # log-probabilities in the code's own records
    jq -c '.logprob_sum = -.sample | .tokens_generated = 2' code >own
    [ "$("$x" own --by logprob | chosen)" = '["t/2",0,"two0","logprob",0,4]["t/1",0,"one0","logprob",0,5]' ]
}

@test "all else of the record is carried on, in order; -o has a sidecar" {
    jq -c '.lang = "python" | .extra = [1, {"a": null}]' <(code t 3 pass) >c
    "$x" c --by first -o out.jsonl
    [ "$(cat out.jsonl)" = '{"schema":"code/1","task_id":"t","sample":0,"bench":"b","code":"pass","how":"fence","lang":"python","extra":[1,{"a":null}],"rank":{"label":"best of 1 by first","by":"first","chosen":3,"of":1,"reason":"lowest number"}}' ]
    [ "$(jq -r .sha256 out.jsonl.meta.json)" = "$(sha256sum <out.jsonl | cut -d' ' -f1)" ]
    jq -e '.inputs[0].path == "c"' out.jsonl.meta.json
    printf '{"task_id":7,"completion":"pass"}\n{"completion":"x"}\n' | "$x" --by first >bare
    [ "$(jq -c '[.schema,.task_id,.completion]' bare | tr -d '\n')" = '["code/1","7","pass"]["code/1","2","x"]' ]
}

@test "the result does not depend on the order of the lines" {
    make
    for by in "majority --behaviour beh --samples samples" "logprob --samples samples" first shortest; do
        "$x" code --by $by | sort >a
        shuf --random-source=<(yes) code | "$x" --by $by | sort >b
        cmp a b
    done
}

@test "benchmarks with the same task ids stay apart" {
    { code t 0 a; code t 1 aa; code t 0 bb | sed 's/"b"/"c"/'; code t 1 b | sed 's/"b"/"c"/'; } >c
    [ "$("$x" c --by shortest | jq -c '[.bench,.code]' | tr -d '\n')" = '["b","a"]["c","b"]' ]
    { behaviour t 0 p; behaviour t 1 q; behaviour t 0 p | sed 's/"b"/"c"/'; behaviour t 1 '!E' | sed 's/"b"/"c"/'; } >beh
    [ "$("$x" c --behaviour beh | jq -c '[.bench,.code]' | tr -d '\n')" = '["b","a"]["c","bb"]' ]
}

@test "round: the last answer to each task and sample" {
    { code t/1 0 a; code t/1 1 b; code t/2 0 c; } >one
    { code t/2 0 C; code t/1 1 B; } >two
    code t/2 0 CC >three
    r() { jq -c '[.task_id,.sample,.code,.rank.label,.rank.chosen,.rank.reason]' | tr -d '\n'; }
    [ "$("$x" --by round one two | r)" = \
        '["t/1",0,"a","2 rounds",1,"answered once"]["t/1",1,"B","2 rounds",2,"answered again"]["t/2",0,"C","2 rounds",2,"answered again"]' ]
    [ "$("$x" --by round one two three | r)" = \
        '["t/1",0,"a","3 rounds",1,"answered once"]["t/1",1,"B","3 rounds",2,"answered again"]["t/2",0,"CC","3 rounds",3,"answered again"]' ]
    # what was chosen before says both
    "$x" --by first one >first
    [ "$("$x" --by round first <(code t/2 0 C) | jq -r .rank.label | sort -u)" = "best of 2 by first, then 2 rounds" ]
    run --separate-stderr -65 "$x" --by round one <(code t/9 0 a) -o out
    [[ "$stderr" == *":1: one has no t/9, sample 0" && ! -e out ]]
    run -64 "$x" --by round one
    run -64 "$x" --by round one two --samples three
}

@test "64, 65, 66, 73, 74" {
    make
    : >empty
    run --separate-stderr -65 "$x" empty --by first -o out
    [ "$stderr" = "apr-rank: empty: no records" ] && [ ! -e out ]
    run --separate-stderr -65 "$x" --by first </dev/null
    [ "$stderr" = "apr-rank: standard input: no records" ]
    run --separate-stderr -65 "$x" --by round empty empty -o out
    [ "$stderr" = "apr-rank: empty: no records" ] && [ ! -e out ]
    run -64 "$x" code
    run -64 "$x" code --by verdict
    run -64 "$x" code code --by first
    bad() { run --separate-stderr -65 "$x" "${@:2}" -o out; [[ "$stderr" == "apr-rank: "$1 && "$stderr" != *$'\n'* && ! -e out ]] || { echo "$stderr"; return 1; }; }
    grep -v '"t/1","sample":2' beh >beh1
    bad "code:2: beh1 has no t/1, sample 2" code --behaviour beh1
    grep -v '"t/2","sample":0' samples >s1
    bad "code:3: s1 has no t/2, sample 0" code --by logprob --samples s1
    bad "code:*: no log-probability of t/2, sample 0: *" code --by logprob
    sed 's/"logprob_sum":-3,/"logprob_sum":null,/' samples >s2
    bad "code:*: no log-probability of t/2, sample 2: *" code --by logprob --samples s2
    sed 's/"tokens_generated":2,/"tokens_generated":0,/' samples >s3
    bad "code:*: no log-probability of t/2, sample 1: *" code --by logprob --samples s3
    sed 's/"logprob_sum":-3,/"logprob_sum":"x",/' samples >s4
    bad "s4:*" code --by logprob --samples s4
    sed '1s/"outputs":\[[^]]*\]/"outputs":[1]/' beh >b2
    bad "b2:1: outputs: expected an array of strings" code --behaviour b2
    sed '1s/"outputs":\[[^]]*\]/"outputs":7/' beh >b3
    bad "b3:1: outputs: expected an array of strings" code --behaviour b3
    sed '1s/"outputs"/"output"/' beh >b4
    bad "b4:1: outputs: expected an array of strings" code --behaviour b4
    sed 's/behaviour.1/verdict\/1/' beh >verdicts
    bad 'verdicts:1: schema: expected "behaviour/1", found "verdict/1"' code --behaviour verdicts
    cat code code >twice
    bad "twice:*: t/*, sample * is on line * too" twice --by first
    bad "standard input:1: code is missing" --by first < <(echo '{"task_id":"a"}')
    bad "standard input:1: sample: *" --by first < <(echo '{"task_id":"a","sample":-1,"code":""}')
    bad "standard input:1: task_id: *" --by first < <(echo '{"task_id":["a"],"code":""}')
    bad "standard input:2: not JSON: *" --by first < <(printf '{"code":"a"}\n{x\n')
    bad "standard input:1: truncated: *" --by first < <(printf '{"code":"a"}')
    bad "standard input:1: rank: the label is too long" --by first < <(jq -cn '{code: "a", rank: {label: ("x" * 600)}}')
    run -66 "$x" none --by first
    run -66 "$x" code --behaviour none
    run -73 "$x" code --by first -o no/such/file
    run -74 bash -c "'$x' code --by first >/dev/full"
    [ -z "$("$x" --by first </dev/null)" ]
}
