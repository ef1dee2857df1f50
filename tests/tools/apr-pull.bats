#!/usr/bin/env bats
# apr-pull - a model from a hub, whatever the server does (tests/hub/server.py plays the hub)
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-pull"
    unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_TOKEN_PATH HF_HUB_OFFLINE \
        TRANSFORMERS_OFFLINE XDG_CACHE_HOME http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
    repo=root/Some/Model
    mkdir -p $repo/sub
    yes 'the bytes of a model, of no meaning at all' | head -c 1200000 >$repo/model.safetensors
    echo '{"model_type":"qwen2"}' >$repo/config.json
    echo hi >$repo/sub/x.txt
    : >root/log
    mkfifo ports
    python3 "$TOP/tests/hub/server.py" root >ports 2>server.err 3>&- &
    server=$!
    read -r hub cdn <ports
    export HF_HOME=$PWD/home HF_ENDPOINT=http://127.0.0.1:$hub
    commit=0123456789abcdef0123456789abcdef01234567
    base=home/hub/models--Some--Model
    snap=$PWD/$base/snapshots/$commit
}

teardown() {
    kill "$server" 2>/dev/null || true
}

modes() {
    echo "$1" >root/modes.json
}

sum() {
    sha256sum <"$1" | cut -d' ' -f1
}

whole() { # the snapshot is the repository, byte for byte, and nothing lies about
    diff -r $repo "$snap"
    [ -z "$(find home -name '*.part*' -o -name '*.tmp.*')" ]
}

@test "a repository, into the cache that huggingface_hub has" {
    run --separate-stderr -0 "$x" hf://Some/Model --range-size 200000
    [ "$output" = "$snap" ]
    [ -z "$stderr" ]
    whole
    [ "$(cat $base/refs/main)" = $commit ]
    [ "$(readlink $base/snapshots/$commit/model.safetensors)" = "../../blobs/$(sum $repo/model.safetensors)" ]
    [ "$(readlink $base/snapshots/$commit/sub/x.txt)" = "../../../blobs/$(git hash-object $repo/sub/x.txt)" ]
    [ "$(grep -c '^cdn.*bytes=' root/log)" = 6 ]
}

@test "what is there is not fetched again; a commit needs no network" {
    "$x" hf://Some/Model >/dev/null
    : >root/log
    [ "$("$x" hf://Some/Model --json | jq -c '[.schema, .commit, .bytes, .fetched, (.files | length)]')" = "[\"pull/1\",\"$commit\",1200026,0,3]" ]
    [ "$(wc -l <root/log)" = 1 ]
    [ "$("$x" hf://Some/Model@$commit)" = "$snap" ]
    [ "$(wc -l <root/log)" = 1 ]
    HF_HUB_OFFLINE=1 "$x" hf://Some/Model >/dev/null
    [ "$("$x" --offline hf://Some/Model:config.json)" = "$snap/config.json" ]
    [ "$(wc -l <root/log)" = 1 ]
}

@test "offline: what is missing is 66" {
    run --separate-stderr -66 "$x" --offline hf://Some/Model
    [[ $stderr == *"not in the cache"* ]]
    "$x" hf://Some/Model --include '*.json' >/dev/null
    run --separate-stderr -66 "$x" --offline hf://Some/Model
    [[ $stderr == *"model.safetensors and 1 more are not in the cache"* ]]
    "$x" --offline hf://Some/Model --include '*.json'
    run -66 "$x" --offline "http://127.0.0.1:$hub/a" -o a
    [ ! -s home/none ]
}

@test "patterns, one file, all parts of a split GGUF, a revision" {
    mkdir -p $repo/q
    for i in 1 2; do echo $i >$repo/q/m-0000$i-of-00002.gguf; done
    echo 3 >$repo/q/m-00001-of-00003.gguf
    "$x" hf://Some/Model --exclude 'sub/*' --exclude '*.gguf' --json | jq -r '.files[].path' >f
    [ "$(paste -sd' ' f)" = "config.json model.safetensors" ]
    [ "$("$x" hf://Some/Model:q/m-00001-of-00002.gguf)" = "$snap/q/m-00001-of-00002.gguf" ]
    [ "$(ls "$snap/q" | paste -sd' ')" = "m-00001-of-00002.gguf m-00002-of-00002.gguf" ]
    "$x" hf://Some/Model@refs/pr/7:config.json
    grep -q '/revision/refs%2Fpr%2F7?' root/log
    [ "$(cat $base/refs/refs/pr/7)" = $commit ]
    "$x" "$HF_ENDPOINT/Some/Model/resolve/main/sub/x.txt"
    run --separate-stderr -66 "$x" hf://Some/Model:nothing
    [[ $stderr == *"nothing: not in the repository"* ]]
    run -66 "$x" hf://Some/Model --include '*.bin'
    run --separate-stderr -66 "$x" hf://No/Model
    [[ $stderr == *"HTTP status 404"* ]]
}

@test "connections are cut: it goes on where it was" {
    modes '{"cut": 150000}'
    run --separate-stderr -0 "$x" hf://Some/Model --range-size 400000
    whole
    grep -q 'bytes=150000-399999' root/log
    [ "$("$x" hf://Some/Model --json | jq .fetched)" = 0 ]
}

@test "killed at any time: the next run goes on" {
    modes '{"slow": 0.3}'
    for i in 1 2 3; do
        : >root/log
        "$x" hf://Some/Model --range-size 400000 >/dev/null 2>&1 &
        pid=$!
        while [ "$(grep -c '^cdn' root/log)" -lt 3 ]; do sleep 0.05; done
        sleep 0.45
        kill -9 $pid
        wait $pid || true
        [ ! -e "$snap/model.safetensors" ]
    done
    modes '{}'
    n=$("$x" hf://Some/Model --range-size 400000 --json | jq .fetched)
    echo "$n bytes in the last run"
    [ "$n" -lt 1000000 ]
    whole
}

@test "the server takes no ranges: one stream, from the start" {
    modes '{"no_range": 1}'
    run --separate-stderr -0 "$x" hf://Some/Model --range-size 200000
    [[ $stderr == *"takes no ranges"* ]]
    whole
    rm -rf home
    modes '{"no_range": 1, "cut": 900000, "cut_times": 1}'
    "$x" hf://Some/Model --range-size 200000
    whole
}

@test "lies about the length" {
    modes '{"longer": 1000}'
    run --separate-stderr -0 "$x" hf://Some/Model:model.safetensors
    cmp $repo/model.safetensors "$snap/model.safetensors"
    rm -rf home
    modes '{"shorter": 1}'
    run --separate-stderr -69 "$x" hf://Some/Model:config.json --retries 1
    [[ $stderr == *"1 bytes early"* ]]
    [ ! -e "$snap/config.json" ]
}

@test "another range than asked for is 65" {
    modes '{"wrong_range": 1}'
    run --separate-stderr -65 "$x" hf://Some/Model --range-size 200000
    [[ $stderr == *"the server sends bytes"* ]]
    [ ! -e "$snap/model.safetensors" ]
}

@test "wrong bytes: fetched again, and 65 if they stay wrong; nothing appears" {
    modes '{"flip": 1}'
    run --separate-stderr -0 "$x" hf://Some/Model -c 1
    [[ $stderr == *"other bytes than its digest says"* ]]
    whole
    rm -rf home
    modes '{"flip": 1000}'
    run --separate-stderr -65 "$x" hf://Some/Model:model.safetensors
    [[ $stderr == *"expected sha256 $(sum $repo/model.safetensors)"* ]]
    [ ! -e "$snap/model.safetensors" ]
    run --separate-stderr -65 "$x" hf://Some/Model:config.json
    [[ $stderr == *"git's sha1 $(git hash-object $repo/config.json)"* ]]
}

@test "429 with Retry-After, 500: waited for, and 69 in the end" {
    modes '{"limit": 2, "fail": 1}'
    SECONDS=0
    run --separate-stderr -0 "$x" hf://Some/Model -c 1
    [[ $stderr == *"HTTP status 429; again in 1.0 s"* ]]
    [ $SECONDS -ge 2 ]
    whole
    rm -rf home
    modes '{"fail": 1000}'
    run --separate-stderr -69 "$x" hf://Some/Model --retries 1
    [[ $stderr == *"HTTP status 500"* ]]
}

@test "a stalled connection is a failure" {
    modes '{"stall": 1}'
    run --separate-stderr -69 timeout 15 "$x" hf://Some/Model:config.json --retries 0 --stall 1
    [[ $stderr == *"too slow"* ]]
}

@test "the token: to the hub alone, never in a message, a file or a record" {
    modes '{"token": "hf_Secret"}'
    run --separate-stderr -66 "$x" hf://Some/Model
    [[ $stderr == *"HTTP status 401"*HF_TOKEN* ]]
    export HF_TOKEN=hf_Wrong
    run --separate-stderr -66 "$x" hf://Some/Model
    [[ $stderr != *hf_Wrong* ]]
    : >root/log
    HF_TOKEN=hf_Secret "$x" hf://Some/Model -v >out 2>&1
    whole
    [ "$(grep -c 'Bearer hf_Secret' root/log)" -gt 0 ]
    [ "$(grep '^cdn' root/log | grep -vc ' -$')" = 0 ]
    ! grep -r hf_Secret out home
    ! grep -q signature out
    unset HF_TOKEN
    rm -rf home
    mkdir home && printf 'hf_Secret\n' >home/token
    "$x" hf://Some/Model
    rm -rf home
    HF_TOKEN_PATH=t HF_TOKEN=$'a\nX: y' run -78 "$x" hf://Some/Model
    # the same name on another port is another origin
    modes "{\"redirect\": \"http://127.0.0.1:$cdn/Some/Model/model.safetensors\"}"
    HF_TOKEN=hf_Secret "$x" hf://Some/Model:model.safetensors
    [ "$(grep '^cdn' root/log | grep -vc ' -$')" = 0 ]
}

@test "redirects: no other scheme, no user, no endless chain" {
    for to in file:///etc/passwd "http://user:pw@127.0.0.1:$cdn/x" gopher://127.0.0.1/ 'http://127.0.0.1:1\@evil/x'; do
        modes "$(jq -cn --arg r "$to" '{redirect: $r}')"
        run --separate-stderr -69 "$x" hf://Some/Model:model.safetensors --retries 0
        [[ $stderr == *redirect* ]] && [[ $stderr != *pw* ]]
    done
    modes "{\"redirect\": \"$HF_ENDPOINT/Some/Model/resolve/main/model.safetensors\"}"
    run --separate-stderr -69 "$x" hf://Some/Model:model.safetensors
    [[ $stderr == *"more than 10 redirects"* ]]
}

@test "a listing that is hostile is 65 and writes nothing outside" {
    for f in '"../../../../evil"' '"/etc/evil"' '"a//b"' '"a/../b"' '"."' '"a\u0001"' '"a\\b"' 7 '""'; do
        modes "$(jq -cn --argjson f "$f" '{listing: ({sha: "0123456789abcdef0123456789abcdef01234567", siblings: [{rfilename: $f, size: 3, blobId: "45b983be36b73c0788dc9cbcb76cbb80fc7bb057"}]} | tojson)}')"
        run --separate-stderr -65 "$x" hf://Some/Model
    done
    one='{rfilename: "a", size: 3, blobId: "45b983be36b73c0788dc9cbcb76cbb80fc7bb057"}'
    for f in "[$one, $one]" "[$one | .blobId = \"../../x\"]" "[$one | .size = -1]" "[$one | .size = 1.5]" "[$one | .lfs = {sha256: \"12\", size: 3}]" '{}' "[$one | del(.size)]"; do
        modes "$(jq -cn "{listing: ({sha: \"0123456789abcdef0123456789abcdef01234567\", siblings: $f} | tojson)}")"
        run --separate-stderr -65 "$x" hf://Some/Model
    done
    modes '{"listing": "{\"sha\": \"../x\", \"siblings\": []}"}'
    run -65 "$x" hf://Some/Model
    modes '{"listing": "not JSON"}'
    run -65 "$x" hf://Some/Model
    [ -z "$(find . -name '*evil*')" ]
}

@test "two at once: one waits, both are right" {
    modes '{"slow": 0.02}'
    "$x" hf://Some/Model >a 2>a.err &
    one=$!
    "$x" hf://Some/Model >b 2>b.err
    wait $one
    whole
    cmp a b
    grep -q waiting a.err b.err
    [ "$(grep -c '^cdn' root/log)" = 1 ]
}

@test "damage in the cache: --verify finds it, a wrong length is seen anyway" {
    "$x" hf://Some/Model >/dev/null
    blob=$base/blobs/$(sum $repo/model.safetensors)
    printf X | dd of="$blob" bs=1 seek=77 conv=notrunc 2>/dev/null
    run --separate-stderr -65 "$x" --offline --verify hf://Some/Model
    [[ $stderr == *"not the bytes that its name says"* ]]
    "$x" --verify hf://Some/Model
    whole
    echo more >>"$blob"
    "$x" hf://Some/Model
    whole
}

@test "-o: a folder of files, brought up to date, never one of others" {
    "$x" hf://Some/Model -o d/m
    diff -r -x .hub.json $repo d/m
    [ ! -L d/m/config.json ]
    [ "$(jq -c '[.schema, .source, .commit, (.files | length)]' d/m/.hub.json)" = "[\"pull/1\",\"hf://Some/Model\",\"$commit\",3]" ]
    "$x" hf://Some/Model --include '*.json' -o d/m/
    [ "$(ls -A d/m d/m/sub | paste -sd' ')" = "d/m: .hub.json config.json sub  d/m/sub:" ]
    [ "$(ls d)" = m ]
    # what a killed call left of another repository does not slip in
    mkdir -p n.part/x && echo old >n.part/x/old && echo old >n.part/config.json
    "$x" hf://Some/Model -o n
    diff -r -x .hub.json -x x $repo n
    [ -z "$(ls n/x)" ]
    mkdir e && touch e/mine
    run --separate-stderr -73 "$x" hf://Some/Model -o e
    [ "$(ls -A e)" = mine ]
    "$x" hf://Some/Model:config.json -o c.json
    cmp $repo/config.json c.json
}

@test "an address: resumed, its digest recorded or demanded" {
    head -c 300000 /dev/zero >root/file.bin
    modes '{"cut": 70000}'
    url=http://127.0.0.1:$cdn/file.bin
    "$x" "$url" -o f.bin --range-size 100000
    cmp root/file.bin f.bin
    [ "$(jq -r .sha256 f.bin.meta.json)" = "$(sum root/file.bin)" ]
    [ -z "$(ls -A | grep part)" ]
    modes '{"no_range": 1}'
    "$x" "$url" -o g.bin --sha256 "$(sum root/file.bin)"
    run --separate-stderr -65 "$x" "$url" -o h.bin --sha256 "$(sum root/log)"
    [ ! -e h.bin ]
    run -66 "$x" "http://127.0.0.1:$cdn/none" -o n.bin
    run -64 "$x" "$url"
    run -64 "$x" "$url" -o x --include '*'
}

@test "progress on demand, none otherwise; --quiet" {
    modes '{"slow": 0.4}'
    run --separate-stderr -0 "$x" hf://Some/Model:model.safetensors -v
    [[ $stderr == *"fetch: "*"/1 MB ("*" %), "*"/s, 0:0"*" left"* ]]
    rm -rf home
    modes '{}'
    run --separate-stderr -0 "$x" hf://Some/Model -q
    [ -z "$output$stderr" ]
}

@test "a mirror by its base address" {
    HF_ENDPOINT=http://127.0.0.1:9 "$x" hf://Some/Model:config.json --endpoint "$HF_ENDPOINT/"
    run -69 env HF_ENDPOINT=http://127.0.0.1:9 "$x" hf://Some/Model --retries 0
    run -78 env HF_ENDPOINT=ftp://x "$x" hf://Some/Model
}

@test "usage" {
    run -64 "$x"
    for n in Some/Model hf:// hf://a/b/c hf://../b hf://a/.. hf://a--b/c hf://a/b@ hf://a/b:../c hf://a/b@../c hf://a/b:/c 'hf://a/b c'; do
        run -64 "$x" "$n"
    done
    run -64 "$x" hf://Some/Model --sha256 abc
}
