#!/usr/bin/env bats
# apr-sandbox on programs in C, C++ and JavaScript
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    s="$APR_BIN/apr-sandbox"
    d="$TOP/tests/sandbox-langs"
    for p in /usr/bin/gcc /usr/bin/g++ /usr/bin/node; do [ -x $p ] || skip "$p is not there"; done
}

# the reference solutions: all pass but the faults of the description
ceiling() {
    "$s" --bench "$1" --canonical >v.jsonl || [ $? = 71 ] # CPP/22: its test does not build without Boost
    diff <(jq -r 'select(.passed | not) | .task_id' v.jsonl | sort) <(sed -n 's/^  - id: //p' "$TOP/configs/bench/$1.yaml" | sort)
    [ "$(wc -l <v.jsonl)" = "$2" ]
}
@test "ceiling: C, 20 of 20" { ceiling basic-c 20; }
@test "ceiling: JavaScript, 161 of 164" { ceiling humaneval-x-js 164; }
@test "ceiling: C++, 161 of 164" { ceiling humaneval-x-cpp 164; }

@test "MultiPL-E's schema" {
    cd "$TOP"
    for n in multipl-e-cpp multipl-e-js; do
        "$s" --bench tests/vectors/bench/$n.yaml tests/vectors/bench/$n.code.jsonl | jq -c '[.task_id, .sample, .passed, .verdict]' >"$BATS_TEST_TMPDIR/got"
        jq -c '[.task_id, .sample, .passed, .verdict]' tests/vectors/bench/$n.expect.jsonl | diff - "$BATS_TEST_TMPDIR/got"
    done
}

@test "prompts are cut, every type crosses, hostile bytes are refused" {
    /usr/bin/python3 "$d/test_langs.py"
}

@test "broken solutions in C: two processes judge as one does, where the behaviour is defined" {
    run -0 --separate-stderr /usr/bin/python3 "$d/drive.py" mutants c
    [[ "${lines[-1]}" = "118 mutants: "*" undefined, 0 otherwise; "*" of them 0 with a default value" ]]
}

@test "what is built once is used again, and where nothing can be kept it works as well" {
    export XDG_CACHE_HOME="$BATS_TEST_TMPDIR/cache"
    "$s" --bench basic-c --canonical | jq -r .verdict | sort -u >v
    [ "$(cat v)" = pass ]
    made="$(stat -c %Y.%i "$XDG_CACHE_HOME"/apr/languages/c-*)"
    "$s" --bench basic-c --canonical >/dev/null
    [ "$(stat -c %Y.%i "$XDG_CACHE_HOME"/apr/languages/c-*)" = "$made" ]
    XDG_CACHE_HOME=/proc/nothing HOME=/proc/nothing TMPDIR="$BATS_TEST_TMPDIR" "$s" --bench basic-c --canonical | jq -r .verdict | sort -u | diff v -
    [ -z "$(ls -d "$BATS_TEST_TMPDIR"/apr-cache.* 2>/dev/null)" ]
}

@test "equal input gives equal bytes" {
    "$s" --bench basic-c --canonical -j 1 >a
    "$s" --bench basic-c --canonical -j 3 >b
    cmp a b
    # and programs that fail, in each way once
    v="$TOP/tests/vectors/bench/multipl-e-cpp"
    jq -c '[.task_id, .sample, .verdict]' $v.expect.jsonl | sort -t, -k3 -u >want
    jq -c --slurpfile w want 'select([.task_id, .sample] as $k | any($w[]; .[:2] == $k))' $v.code.jsonl >few.jsonl
    [ "$(wc -l <few.jsonl)" = "$(wc -l <want)" ] && [ "$(wc -l <want)" -ge 4 ]
    for j in 1 3; do "$s" --bench $v.yaml few.jsonl -j $j >m$j; done
    cmp m1 m3
}
