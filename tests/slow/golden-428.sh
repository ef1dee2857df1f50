#!/bin/bash
# golden-428 - every completion of the built-in model, token for token, as Hugging Face gives them in float32
#
#     tests/slow/golden-428.sh [apr-gen options]      e.g. --device ref:q, --batch 1
#
# Not a part of make check: one to four minutes.  Needs ../shared (or $APR_SHARED): the model's HF folder
# and golden/tiny_greedy_f32.jsonl.  Exit 1 if a completion differs.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${APR_BIN:-$top/build/bin}
shared=${APR_SHARED:-$top/../shared}
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT

"$bin/st2apr" "$shared/models/tiny-coder-29m/hf" -o "$tmp/m.apr" --type keep
for b in basic humaneval basic-mbpp; do # 320, 400 and 320 tokens at most: their configs say so
    "$bin/apr-prompt" --bench $b
done >"$tmp/prompts.jsonl"
"$bin/apr-gen" -m "$tmp/m.apr" "$tmp/prompts.jsonl" --ids "$@" -o "$tmp/samples.jsonl"

key='[(.bench|gsub("_";"-")), (.task_id|tostring)]'
jq -c "{key: ($key|join(\"/\")), ids: .ids}" "$tmp/samples.jsonl" | sort >"$tmp/got"
jq -c "{key: ($key|join(\"/\")), ids: .token_ids}" "$shared/golden/tiny_greedy_f32.jsonl" | sort >"$tmp/want"
same=$(comm -12 "$tmp/got" "$tmp/want" | wc -l)
comm -13 "$tmp/got" "$tmp/want" | jq -r .key
echo "$same of $(wc -l <"$tmp/want") completions equal"
cmp -s "$tmp/got" "$tmp/want"
