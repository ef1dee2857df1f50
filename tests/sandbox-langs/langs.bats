#!/usr/bin/env bats
# C, C++ and JavaScript in the sandbox's two roles, by the reference driver
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    d="$TOP/tests/sandbox-langs"
    [ "$(id -u)" = 0 ] || skip "the driver's jail needs root"
    for p in /usr/bin/gcc /usr/bin/g++ /usr/bin/node; do [ -x $p ] || skip "$p is not there"; done
}

@test "prompts are cut, every type crosses, hostile bytes are refused" {
    /usr/bin/python3 "$d/test_langs.py"
}

@test "the reference solutions in C" {
    run -0 --separate-stderr /usr/bin/python3 "$d/drive.py" canonical c
    [ "${lines[-1]}" = "20 of 20 pass; not: " ]
}

@test "the reference solutions in JavaScript: the faults of configs/bench fail, nothing else" {
    run -0 --separate-stderr /usr/bin/python3 "$d/drive.py" canonical js
    [ "${lines[-1]}" = "161 of 164 pass; not: $(sed -n 's/^  - id: //p' "$TOP/configs/bench/humaneval-x-js.yaml" | xargs)" ]
}

@test "the reference solutions in C++: the faults of configs/bench fail, nothing else" {
    run -0 --separate-stderr /usr/bin/python3 "$d/drive.py" canonical cpp
    [ "${lines[-1]}" = "161 of 164 pass; not: $(sed -n 's/^  - id: //p' "$TOP/configs/bench/humaneval-x-cpp.yaml" | xargs)" ]
}

@test "every hostile program gets a verdict that it must get, and none passes by cheating" {
    /usr/bin/python3 "$d/drive.py" hostile "$TOP"/tests/hostile/sandbox/*.{js,c,cpp} >out.jsonl || { grep '"ok": false' out.jsonl; return 1; }
    [ "$(grep -c '"program": "cheat-' out.jsonl)" -ge 70 ]
    ! grep '"program": "cheat-' out.jsonl | grep '"verdict": "pass"'
}

@test "broken solutions in C: two processes judge as one does, where the behaviour is defined" {
    run -0 --separate-stderr /usr/bin/python3 "$d/drive.py" mutants c
    [[ "${lines[-1]}" = "118 mutants: "*" undefined, 0 otherwise; "*" of them 0 with a default value" ]]
}
