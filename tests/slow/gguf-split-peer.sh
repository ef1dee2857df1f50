#!/bin/bash
# gguf-split-peer - split GGUF files byte for byte as llama.cpp's gguf-split writes them, and merged by it
#
#     GGUF_SPLIT=.../llama-gguf-split tests/slow/gguf-split-peer.sh
#
# Not a part of make check: needs that program.  Exit 1 if a file differs.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${APR_BIN:-$top/build/bin}
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
cd "$tmp"
"$bin/gguf2apr" "$top/data/models/tiny-coder-29m-Q8_0.gguf" -o a.apr
"$bin/apr2gguf" a.apr -o whole.gguf
for o in "--split-max-tensors 7" "--split-max-tensors 1000" "--split-max-size 5M" "--split-max-size 10M"; do
    rm -f ours-* theirs-* merged.gguf
    "$bin/apr2gguf" a.apr -o ours.gguf $o
    "$GGUF_SPLIT" --split $o whole.gguf theirs >log 2>&1 || { cat log; exit 1; }
    rm -f ours-*.meta.json
    [ "$(ls ours-* | wc -l)" = "$(ls theirs-* | wc -l)" ]
    for f in theirs-*; do cmp "$f" "ours${f#theirs}"; done
    "$GGUF_SPLIT" --merge ours-00001-of-*.gguf merged.gguf >log 2>&1 || { cat log; exit 1; }
    "$bin/gguf2apr" merged.gguf -o b.apr
    diff <("$bin/apr-info" a.apr --json | jq .tensors) <("$bin/apr-info" b.apr --json | jq .tensors)
    echo "$o: $(ls theirs-* | wc -l) files equal"
done
