#!/usr/bin/env bats
# one contract for every tool: help, version, options, unknown options, a full disk
bats_require_minimum_version 1.5.0

tools() {
    for t in "$APR_BIN"/*; do
        [ -x "$t" ] && basename "$t"
    done
}

@test "help and version: stdout, status 0, silent stderr" {
    for t in $(tools); do
        for o in --help -h --version -V; do
            run --separate-stderr -0 "$APR_BIN/$t" $o
            [ -n "$output" ] || { echo "$t $o: nothing on stdout"; return 1; }
            [ -z "$stderr" ] || { echo "$t $o: stderr: $stderr"; return 1; }
        done
        run -0 "$APR_BIN/$t" --version
        [[ "$output" =~ ^$t\ [0-9.]+\ output=[0-9]+ ]] || { echo "$t: version: $output"; return 1; }
    done
}

@test "help shows usage, an example and the common options" {
    for t in $(tools); do
        run -0 "$APR_BIN/$t" --help
        for w in "usage: $t" "example:" "--quiet" "--verbose" "--version"; do
            [[ "$output" == *"$w"* ]] || { echo "$t --help lacks '$w'"; return 1; }
        done
    done
}

@test "--options=json is JSON and names the tool" {
    for t in $(tools); do
        run -0 "$APR_BIN/$t" --options=json
        [ "$(jq -r .tool <<<"$output")" = "$t" ]
    done
}

@test "an unknown option is 64: usage on stderr, nothing on stdout" {
    for t in $(tools); do
        run --separate-stderr "$APR_BIN/$t" --no-such-option
        [ "$status" = 64 ] || { echo "$t: status $status"; return 1; }
        [ -z "$output" ] || { echo "$t: stdout: $output"; return 1; }
        [[ "$stderr" == "$t: "*"usage: $t"* ]] || { echo "$t: $stderr"; return 1; }
    done
}

@test "a full disk is 74" {
    for t in $(tools); do
        run bash -c "'$APR_BIN/$t' --help >/dev/full"
        [ "$status" = 74 ] || { echo "$t: status $status"; return 1; }
    done
}

@test "a closed pipe is no error of ours" {
    for t in $(tools); do
        run bash -c "set -o pipefail; '$APR_BIN/$t' --help | true"
        [ "$status" = 0 ] || [ "$status" = 141 ] || { echo "$t: status $status"; return 1; }
    done
}
