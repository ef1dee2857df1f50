#!/bin/sh
# seed_jinja.sh DIR - the templates of expr.tsv as a file each, for fuzz_jinja
cut -f1 "$(dirname "$0")/../vectors/chat/expr.tsv" | jq -r '@base64' | cat -n |
    while read -r n t; do printf '%s' "$t" | base64 -d >"$1/expr-$n"; done
