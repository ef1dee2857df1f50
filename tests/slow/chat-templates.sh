#!/bin/sh
# chat-templates.sh DIR... - render each DIR/*.jinja with the conversations of tests/vectors/chat and compare: with Jinja2 (if
# python3-jinja2 is here), and with what Jinja2 made of templates that are not shipped because of their licences
# (tests/vectors/chat/elsewhere.txt; found by the sha256 of the file). Needs: make build/tests/unit/test_jinja. Seconds.
# The models' templates: chat_template of tokenizer_config.json, or chat_template.jinja, as a file each.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${TEST_JINJA:-$(ls "$top"/build/*/tests/unit/test_jinja "$top"/build/tests/unit/test_jinja 2>/dev/null | head -n 1)}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
[ $# -gt 0 ] || { echo "usage: chat-templates.sh DIR..." >&2; exit 64; }
"$bin" "$@" >"$tmp/ours" 2>"$tmp/refused"
cat "$tmp/refused"
bad=0
if python3 -c 'import jinja2' 2>/dev/null; then
    python3 "$top/tests/vectors/mk_chat.py" "$@" >"$tmp/theirs" 2>/dev/null
    sed -n 's/ \* refused .*/ /p' "$tmp/refused" >"$tmp/names"
    grep -vFf "$tmp/names" "$tmp/theirs" >"$tmp/want" || true
    [ -s "$tmp/names" ] || cp "$tmp/theirs" "$tmp/want"
    diff "$tmp/want" "$tmp/ours" >"$tmp/diff" || bad=1
    echo "Jinja2: $(wc -l <"$tmp/ours") renderings, $(grep -c '^>' "$tmp/diff" || true) differ, $(grep -c error "$tmp/ours" || true) are errors in both"
    head -n 20 "$tmp/diff"
fi
known=0
for f in $(for d; do ls "$d"/*.jinja; done); do
    sha=$(sha256sum <"$f" | cut -c 1-16)
    name=$(basename "$f" .jinja)
    want=$(awk -v s="$sha" '$2 == s {print $3; exit}' "$top/tests/vectors/chat/elsewhere.txt")
    [ -n "$want" ] || continue
    got=$(awk -v n="$name" '$1 == n {print $2, $3}' "$tmp/ours" | sha256sum | cut -c 1-16)
    known=$((known + 1))
    [ "$got" = "$want" ] || { echo "$name: renderings differ from those recorded"; bad=1; }
done
echo "recorded: $known templates known"
exit $bad
