#!/bin/bash
# pull-kill - apr-pull killed with -9 again and again at random times: it always ends with the right bytes
#
#     tests/slow/pull-kill.sh [ROUNDS]
#
# Not a part of make check: a minute or two for the 20 rounds that are the default, each with a few kills.  Exit 1 if
# a byte differs or a file is seen before it is whole.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${APR_BIN:-$top/build/bin}
tmp=$(mktemp -d)
trap 'kill $server 2>/dev/null; rm -r "$tmp"' EXIT
cd "$tmp"
mkdir -p root/Some/Model
for i in 1 2 3; do head -c 20000000 /dev/urandom >root/Some/Model/m-$i.safetensors; done
echo '{}' >root/Some/Model/config.json
echo '{"slow": 0.004}' >root/modes.json
mkfifo ports
python3 "$top/tests/hub/server.py" root >ports 2>/dev/null &
server=$!
read -r hub cdn <ports
export HF_HOME=$tmp/home HF_ENDPOINT=http://127.0.0.1:$hub
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_TOKEN
kills=0
"$bin/apr-pull" hf://Some/Model --include config.json >/dev/null # the server has read its files
for round in $(seq "${1:-20}"); do
    rm -rf home && : >root/log
    while :; do
        "$bin/apr-pull" hf://Some/Model --range-size 1000000 >/dev/null 2>&1 &
        pid=$!
        sleep $((RANDOM % 2)).$((RANDOM % 900 + 100)) # a loaded machine needs a while for the first byte
        if kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); fi
        if wait $pid 2>/dev/null; then break; fi
        for f in home/hub/models--Some--Model/snapshots/*/*; do
            [ ! -e "$f" ] || cmp "$f" "root/Some/Model/${f##*/}"
        done
    done
    "$bin/apr-pull" --offline --verify hf://Some/Model >/dev/null
    diff -r root/Some/Model home/hub/models--Some--Model/snapshots/*
done
echo "$kills kills in ${1:-20} rounds, all bytes right"
