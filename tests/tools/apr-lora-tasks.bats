#!/usr/bin/env bats
# apr-lora --task - completions without a chat template, text packed into windows, and what has a loss
bats_require_minimum_version 1.5.0

load lora
setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-lora"
    "$APR_BIN/gguf2apr" -q "$TOP/tests/vectors/tiny.gguf" -o m.apr
    for i in $(seq 30); do
        printf '{"prompt":"def f%d(","response":"x): return %d"}\n' $i $((i * i)) >>c.jsonl
        printf '{"text":"def f%d(x):\\n    return x + %d\\n%s"}\n' $i $((i * i)) "$(head -c $((i * 7 % 23)) <<<abcdefghijklmnopqrstuvwxyz)" >>p.jsonl
    done
}
# mean loss per token and tokens with loss of a file, before anything is trained
score() { # FILE ARGUMENT...
    local file=$1
    shift
    "$x" -q m.apr --data p.jsonl --val "$file" -o out --max-steps 1 --lr 0 --metrics score.jsonl "$@"
    jq -r 'select(.event == "epoch" and .step == 0) | "\(.loss) \(.loss_tokens)"' score.jsonl
}

@test "completion: the prompt as it stands, the response, the end token; loss on the last two" {
    run --separate-stderr -0 "$x" m.apr --task completion --data c.jsonl --batch 1 --show-batch
    n=$(($(head -1 <<<"$output" | cut -f1) + 1))
    [ "$(awk -F'\t' '$4 == 0 { print $5 }' <<<"$output" | jq -j .)" = "$(sed -n ${n}p c.jsonl | jq -r .prompt)" ]
    [ "$(awk -F'\t' '$4 == 1 { print $5 }' <<<"$output" | jq -j .)" = "$(sed -n ${n}p c.jsonl | jq -r .response)<|im_end|>" ]
    # special tokens count in a prompt, as in apr-gen --raw, and are text in a response
    echo '{"prompt":"<|im_start|>a","response":"<|im_end|>b"}' >s.jsonl
    run --separate-stderr -0 "$x" m.apr --task completion --data s.jsonl --show-batch
    [ "$(head -1 <<<"$output" | cut -f5)" = '"<|im_start|>"' ]
    [ "$(grep -c '"<|im_end|>"' <<<"$output")" = 1 ]
    [ "$(tail -1 <<<"$output" | cut -f4,5)" = $'1\t"<|im_end|>"' ]
}

@test "completion trains; --prompt-loss takes loss on all but the first token" {
    opts=(m.apr --task completion --data c.jsonl --lr 1e-2 --epochs 3)
    "$x" -q "${opts[@]}" -o a --metrics a.jsonl
    jq -se 'map(select(.event=="step") | .loss) | .[-1] < 0.8 * .[0]' a.jsonl
    run --separate-stderr -0 "$x" "${opts[@]}" --prompt-loss --batch 30 --show-batch
    [ "$(awk -F'\t' '$4 == 0 { print $2 }' <<<"$output" | sort | uniq -c | xargs)" = "30 0" ]
    "$x" -q "${opts[@]}" -o b --prompt-loss --metrics b.jsonl
    run -1 cmp -s a/adapter_model.safetensors b/adapter_model.safetensors
}

@test "pretrain: windows of text; every token but a document's first has a loss, once" {
    run --separate-stderr -0 "$x" m.apr --task pretrain --data p.jsonl --max-seq-len 20 --batch 1000 --show-batch
    # put together in order, a window's first token once
    sort -s -n -k1,1 <<<"$output" >rows
    awk -F'\t' '$1 != last { if (NR > 1 && prev != $3) exit 1; last = $1; if (NR > 1) { prev = $3; next } } { prev = $3; print }' rows >once
    # documents in another order, whole, each with its end
    awk -F'\t' '{ print $5 }' once | jq -j . | sed 's/<|im_end|>/&\n/g' | grep -v '^$' | paste -sd ' ' | sed 's/<|im_end|>/&\n/g' | sed 's/^ //' | grep . | sort >have
    jq -r '.text + "<|im_end|>"' p.jsonl | grep -v '^$' | paste -sd ' ' | sed 's/<|im_end|>/&\n/g' | sed 's/^ //' | grep . | sort >want
    [ "$(wc -l <want)" = 30 ]
    cmp have want
    [ "$(awk -F'\t' '{ n += $4 } END { print n }' rows)" = $(($(wc -l <once) - 30)) ]
    # positions begin at 0 in each document and window, and go on by one
    awk -F'\t' '$1 != w { w = $1; p = -1 } $2 != 0 && $2 != p + 1 { exit 1 } { p = $2 }' rows
    [ "$(cut -f1 rows | uniq -c | awk '{ print $1 }' | sort -nu | tail -1)" = 21 ]
    # another seed, another order; as many losses are taken
    run --separate-stderr -0 "$x" m.apr --task pretrain --data p.jsonl --max-seq-len 20 --batch 1000 --show-batch --seed 7
    [ "$(awk -F'\t' '{ n += $4 } END { print n }' <<<"$output")" = $(($(wc -l <once) - 30)) ]
    run -1 cmp -s rows <(sort -s -n -k1,1 <<<"$output")
}

@test "pretrain: a document's loss is its own, whatever it shares a window with" {
    head -1 p.jsonl >1.jsonl
    tail -1 p.jsonl >2.jsonl
    cat 1.jsonl 2.jsonl >3.jsonl
    read -r l1 n1 < <(score 1.jsonl --task pretrain --max-seq-len 100)
    read -r l2 n2 < <(score 2.jsonl --task pretrain --max-seq-len 100)
    read -r l3 n3 < <(score 3.jsonl --task pretrain --max-seq-len 100)
    [ $((n1 + n2)) = "$n3" ]
    jq -ne "$l1 * $n1 + $l2 * $n2 - $l3 * $n3 | fabs < 1e-5 * $l3 * $n3"
}

@test "pretrain trains, the same for any number of threads, and goes on after kill -9" {
    opts=(m.apr --task pretrain --data p.jsonl --max-seq-len 24 --lr 1e-2 --epochs 3 --batch 4 --save-every 5)
    "$x" -q "${opts[@]}" -o a --metrics a.jsonl --threads 1
    jq -se 'map(select(.event=="step") | .loss) | .[-1] < 0.8 * .[0]' a.jsonl
    dies_after_checkpoint b "${opts[@]}" -o b
    run --separate-stderr -0 "$x" "${opts[@]}" -o b
    [[ "$stderr" == *"going on after step"* ]]
    cmp a/adapter_model.safetensors b/adapter_model.safetensors
}

@test "bad data: no text, an empty one, no prompt, another task's checkpoint" {
    { head -3 p.jsonl; echo '{"text":""}'; } >e.jsonl
    run --separate-stderr -65 "$x" m.apr --task pretrain --data e.jsonl -o a
    [[ "$stderr" == *"e.jsonl:4: the text is empty"* ]]
    run --separate-stderr -65 "$x" m.apr --task pretrain --data c.jsonl -o a
    [[ "$stderr" == *'c.jsonl:1: no "text", expected {"text"}'* ]]
    run --separate-stderr -65 "$x" m.apr --task completion --data p.jsonl -o a
    [[ "$stderr" == *'no "prompt", expected {"prompt", "response"}'* ]]
    echo '{"prompt":"x","response":""}' >e.jsonl
    run --separate-stderr -65 "$x" m.apr --task completion --data e.jsonl -o a
    [[ "$stderr" == *"e.jsonl:1: the response is empty"* ]]
    run --separate-stderr -64 "$x" m.apr --task translate --data p.jsonl -o a
    [ ! -e a ]
}
