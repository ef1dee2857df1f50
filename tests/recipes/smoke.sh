#!/bin/bash
# smoke - recipe-a at reduced size with the real tools: killed twice, resumed, equal to an undisturbed run
set -euo pipefail
cd "$(dirname "$0")/../.."
r=recipe-a-smoke run=runs/recipe-a-smoke@tiny-coder-29m
say() { printf 'smoke: %s\n' "$*"; }
die() { say "$*"; exit 1; }
# kill_when FILE LINES: start the recipe, kill -9 all of it once FILE is there and has so many lines
kill_when() {
    setsid make -s $r >/dev/null 2>&1 &
    local group=$!
    for _ in $(seq 1200); do
        [ -e "$1" ] && [ "$(wc -l <"$1")" -ge "$2" ] && break
        kill -0 $group 2>/dev/null || die "the recipe ended before it could be killed"
        sleep 0.1
    done
    kill -9 -- -$group
    wait $group 2>/dev/null || true
    flock -w 10 $run/lock true || die "the lock outlived its holders"
}

make -s all
rm -rf $run
make -n $r >/dev/null
[ ! -e $run/import.apr ] || die "a plan ran something"

say "kill -9 while it generates"
kill_when "$run/base-samples.basic.jsonl.part" 2
[ -s $run/import.apr ] || die "a finished stage is gone"
[ ! -e $run/base-samples.basic.jsonl ] || die "killed too late"
say "kill -9 while it trains"
kill_when "$run/finetune.ckpt" 0
[ ! -e $run/finetune/adapter_model.safetensors ] || die "killed too late"
before=$(stat -c %y.%i $run/import.apr $run/base-samples.*.jsonl)
say "run to the end"
make $r
[ "$before" = "$(stat -c %y.%i $run/import.apr $run/base-samples.*.jsonl)" ] || die "a finished stage ran again"
[ -s $run/report.md ] || die "no report"
again=$(make $r 2>&1)
[[ $again == "make[1]: Nothing to be done for '$r'." ]] || die "the second run did something: $again"

say "an undisturbed run gives the same bytes"
undisturbed=$(mktemp -d "$run/undisturbed.XXXX")
PATH=$PWD/build/bin:$PATH
line=$(grep -h '^== .*apr-lora' $run/log/finetune.log | tail -n 1 | sed 's/^== [^ ]* //')
# shellcheck disable=SC2086
${line//"$run/finetune"/"$undisturbed/finetune"} -q
cmp $run/finetune/adapter_model.safetensors "$undisturbed/finetune/adapter_model.safetensors"
line=$(grep -h '^== .*apr-gen' $run/log/base-samples.basic.log | tail -n 1 | sed 's/^== [^ ]* //')
# shellcheck disable=SC2086
${line//"$run/base-samples"/"$undisturbed/base-samples"} -q
cmp $run/base-samples.basic.jsonl "$undisturbed/base-samples.basic.jsonl"
rm -rf "$undisturbed"

say "well"
