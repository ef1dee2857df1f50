#!/usr/bin/env bats
# apr-sandbox against programs that cheat, hog, flood, linger and break out
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    s="$APR_BIN/apr-sandbox"
    [ "$("$s" --probe | jq -c '.enforced | contains(["pidns", "mntns", "netns", "seccomp"])')" = true ] ||
        skip "this host gives no namespaces"
}

@test "every hostile program gets a verdict that it must get, and none passes by cheating" {
    "$s" --self-test >st.jsonl || { jq -c 'select(.ok | not)' st.jsonl; return 1; }
    # each program once; what was skipped is said, and nothing in Python is
    [ "$(wc -l <st.jsonl)" = "$(ls "$BATS_TEST_DIRNAME"/../hostile/sandbox/*.{py,js,cpp,c} | wc -l)" ]
    (cd "$BATS_TEST_DIRNAME/../hostile/sandbox" && ls ./*.py) | sed 's,^./,,; s,.py$,,' | sort >python
    [ -z "$(jq -r 'select(.skipped | not) | .program' st.jsonl | sort | comm -23 python -)" ]
    [ "$(jq -c 'select((.program | startswith("cheat-")) and .verdict == "pass")' st.jsonl | wc -l)" = 0 ]
    [ "$(jq -c 'select(.program | startswith("cheat-"))' st.jsonl | wc -l)" -ge 15 ]
    # each is stopped in bounded time (its limits are 1 s of CPU, 2 s of wall time for sleepers)
    [ "$(jq -c 'select(.wall_ms > 60000)' st.jsonl | wc -l)" = 0 ]
}

@test "the same without root" {
    [ "$(id -u)" = 0 ] || skip "not root: the test above shows it"
    [ -z "$CI" ] || skip ".ci/run does this under sanitizers: 100 s of processor time"
    setpriv --reuid=4242 --regid=4242 --clear-groups "$s" --probe >/dev/null || skip "the tool cannot be run by others here"
    setpriv --reuid=4242 --regid=4242 --clear-groups "$s" --self-test >st.jsonl || { jq -c 'select(.ok | not)' st.jsonl; return 1; }
}

# zygotes and everything in their namespaces: children and their children of process $1
tree() {
    local c
    for c in $(cat "/proc/$1"/task/*/children 2>/dev/null); do
        echo "$c"
        tree "$c"
    done
}
gone() {
    for i in $(seq 50); do
        local left=0 p
        for p in "$@"; do [ ! -e "/proc/$p" ] || left=1; done
        [ $left = 1 ] || return 0
        sleep 0.1
    done
    echo "still there: $*"
    return 1
}

@test "killed with -9 in the middle, nothing is left running" {
    jq -cn '{task_id: "HumanEval/53", code: "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)\ntime.sleep(1000)\n"}' >slow.jsonl
    "$s" --bench humaneval slow.jsonl >/dev/null &
    pid=$!
    for i in $(seq 100); do [ "$(tree $pid | wc -l)" -ge 5 ] && break; sleep 0.1; done
    all=$(tree $pid)
    [ "$(wc -w <<<"$all")" -ge 5 ]
    kill -9 $pid
    gone $all
}

@test "a daemon does not outlive its verdict, nor delay it" {
    jq -cn --rawfile c "$BATS_TEST_DIRNAME/../hostile/sandbox/daemon-that-outlives.py" '{task_id: "HumanEval/53", code: $c}' >d.jsonl
    jq -cn '{task_id: "HumanEval/53", code: "import time\ntime.sleep(1000)\n"}' >slow.jsonl
    cat d.jsonl slow.jsonl | "$s" --bench humaneval -j 1 -w 4 --recheck 0 >out.jsonl &
    pid=$!
    for i in $(seq 60); do [ -s out.jsonl ] && break; sleep 0.1; done
    [ "$(head -1 out.jsonl | jq -r .verdict)" = pass ]
    # of the daemon's job nothing is left; the sleeper, its checker and the two zygotes are
    [ "$(tree $pid | wc -l)" -le 4 ]
    wait $pid
    [ "$(jq -r .verdict out.jsonl | tail -1)" = timeout_wall ]
}

@test "a fork bomb does not harm its neighbours" {
    jq -cn --rawfile c "$BATS_TEST_DIRNAME/../hostile/sandbox/fork-bomb.py" '{task_id: "HumanEval/53", code: $c}' >bomb.jsonl
    jq -cn '{task_id: "HumanEval/53", code: "def add(x, y):\n    return x + y\n"}' >good.jsonl
    for i in 1 2 3 4 5 6; do cat bomb.jsonl good.jsonl good.jsonl; done >mix.jsonl
    "$s" --bench humaneval -j 3 mix.jsonl >out.jsonl
    [ "$(jq -r 'select(.passed) | .verdict' out.jsonl | wc -l)" = 12 ]
}

@test "one job cannot see what another left" {
    jq -cn '{task_id: "HumanEval/53", code: "import os\nopen(\"/tmp/x\", \"w\").write(\"1\")\ndef add(x, y):\n    return x + y\n"}' >plant.jsonl
    jq -cn '{task_id: "HumanEval/53", code: "import os\ndef add(x, y):\n    return 0 if os.listdir(\"/tmp\") else x + y\n"}' >look.jsonl
    for i in 1 2 3 4; do cat plant.jsonl look.jsonl; done >mix.jsonl
    "$s" --bench humaneval -j 2 mix.jsonl >out.jsonl
    [ "$(jq -r .verdict out.jsonl | sort -u)" = pass ]
}

@test "a wall time-out is tried again alone" {
    jq -cn '{task_id: "HumanEval/53", code: "import time\ntime.sleep(1000)\n"}' >slow.jsonl
    "$s" --bench humaneval -w 1 slow.jsonl >out.jsonl
    [ "$(jq -c '[.verdict, .attempt, .flaky]' out.jsonl)" = '["timeout_wall",2,false]' ]
}
