#!/usr/bin/env bats
# catalog - data that is not shipped: what a tool says, that what it says works, and what it refuses
bats_require_minimum_version 1.5.0

# a project of its own: one tool, one benchmark, a catalog; the data lies where a url says
setup() {
    cd "$BATS_TEST_TMPDIR"
    export XDG_CACHE_HOME="$PWD/the cache"
    mkdir -p bin configs/bench data upstream
    cp "$APR_BIN/apr-prompt" bin
    cp -r "$TOP/configs/prompts" configs
    printf '%s\n' '{"task_id":1,"text":"Add.","test_list":["assert add(1, 2) == 3"]}' >upstream/t.jsonl
    printf 'name: t\ndata: t\nformat: mbpp\nn_task: 1\nmax_tokens: 9\n' >configs/bench/t.yaml
    sha=$(sha256sum <upstream/t.jsonl | cut -d' ' -f1)
    catalog "sha256: $sha"
}

catalog() { # LINE..: members of the entry beyond the usual ones
    printf 't:\n  cache: t.jsonl\n  url: file://%s/upstream/t.jsonl\n  bytes: %s\n  licence: MIT\n  records: 1\n  origin: ours\n' \
        "$PWD" "$(stat -c %s upstream/t.jsonl)" >data/catalog.yaml
    printf '  %s\n' "$@" >>data/catalog.yaml
}

@test "a missing file: 66, one line with the command, size and sha256; the command works" {
    run --separate-stderr -66 bin/apr-prompt --bench t
    [ -z "$output" ]
    [[ $stderr == "apr-prompt: t: not here yet; to get it: curl -fL --create-dirs -o "*" ($(stat -c %s upstream/t.jsonl) bytes, sha256 $sha)" ]]
    [[ $stderr != *$'\n'* ]]
    command -v curl || skip "no curl"
    cmd=${stderr#*to get it: }
    sh -c "${cmd% (*} -sS"
    run -0 bin/apr-prompt --bench t
    [[ $output == *'"task_id":"1"'* ]]
}

@test "another file than the catalog's: 65 with both sums, and both sizes" {
    mkdir -p "$XDG_CACHE_HOME/apr"
    tr 3 4 <upstream/t.jsonl >"$XDG_CACHE_HOME/apr/t.jsonl"
    run --separate-stderr -65 bin/apr-prompt --bench t
    [[ $stderr == *"expected sha256 $sha, found "* ]]
    echo >>"$XDG_CACHE_HOME/apr/t.jsonl"
    run --separate-stderr -65 bin/apr-prompt --bench t
    [[ $stderr == *"bytes, found"* ]]
}

@test "an entry without sha256 is refused, and so is a path that leaves its folder: 78" {
    mkdir -p "$XDG_CACHE_HOME/apr"
    cp upstream/t.jsonl "$XDG_CACHE_HOME/apr"
    catalog
    run --separate-stderr -78 bin/apr-prompt --bench t
    [[ $stderr == *"sha256 is not 64 hexadecimal digits"* ]]
    catalog "sha256: $sha"
    sed -i 's|t.jsonl|../t.jsonl|' data/catalog.yaml
    run --separate-stderr -78 bin/apr-prompt --bench t
    [[ $stderr == *"a relative path"* ]]
}
