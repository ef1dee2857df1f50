#!/bin/bash
# fuzz.sh BIN DIR SECONDS KIND... - libFuzzer over each KIND (DIR/fuzz_KIND) for so long, as many at a time as there are
# processors; the seeds are made by the tools in BIN, the corpora stay in DIR.  Ends with 1 if one found something.
set -euo pipefail

cut='<<<<FILE' # fuzz.h

# what the targets read beside their input, and an input of each kind
seeds() { # BIN
    local bin=$1 v=$TOP/tests/vectors i k t
    mkdir -p seed.{gguf,apr,index,safetensors,extract,config,hub,imatrix,jinja,tokenizer,kldbase,peft,adapter,packed,ckpt,split,request,recipe} options
    for i in "$v"/arch/*/; do cp "$i/config.json" "seed.config/$(basename "$i").json"; done
    cp "$v"/tokenizer/*.json seed.tokenizer
    cp "$v"/imatrix/* seed.imatrix
    cp "$v/tiny.gguf" seed.gguf
    cp "$v/tiny-hf/model.safetensors" seed.safetensors
    cp "$v/kld/tiny.kld" seed.kldbase
    cp "$v/tiny-hf/tokenizer.json" .
    "$bin/gguf2apr" -q "$v/tiny.gguf" -o base.apr
    cp base.apr seed.apr/tiny.apr
    "$bin/apr-pack" -q base.apr -o seed.packed/tiny
    printf '{"sha":"%040d","siblings":[{"rfilename":"a/b","size":3,"blobId":"45b983be36b73c0788dc9cbcb76cbb80fc7bb057"}]}\n' 7 >seed.hub/one
    awk '/^%% answer/ {f = "seed.extract/" ++n; next} /^%%/ {f = ""} f {print >f}' "$v"/extract/*.txt
    cp "$v"/chat/templates/*.jinja seed.jinja
    cut -f1 "$v/chat/expr.tsv" | jq -r @base64 | cat -n |
        while read -r i t; do printf %s "$t" | base64 -d >"seed.jinja/expr-$i"; done
    printf '%s\n' '{"instruction":"a","response":"b c d"}' >data.jsonl
    for i in "" --dora --rslora; do
        "$bin/apr-lora" -q base.apr --data data.jsonl --rank 1 --targets q_proj,o_proj $i --max-steps 1 --save-every 1 -o lora
        { cat lora/adapter_config.json; printf %s "$cut"; cat lora/adapter_model.safetensors; } >"seed.peft/lora$i"
        [ "$i" = --dora ] || "$bin/apr2gguf" -q base.apr --adapter lora -o "seed.adapter/lora$i" >/dev/null
    done
    head -c 192 /dev/zero | { printf 'APRCKPT1\64\0\0\0\0\0\0\0{"key":"k","step":3,"n_param":16,"moment_bytes":128}'; cat; printf %064d 0; } >seed.ckpt/one
    for i in 2 3; do
        "$bin/apr2gguf" -q base.apr -o split$i.gguf --split-max-tensors $((28 / i))
        {
            cat "split$i-00001-of-0000$i.gguf"
            for ((k = 2; k <= i; k++)); do
                printf %s "$cut"
                cat "split$i-0000$k-of-0000$i.gguf"
            done
            printf %b "\\$((i - 2))"
        } >"seed.split/$i"
    done
    printf 'GGUF\3\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\21\0\0\0\0\0\0\0general.alignment\6\0\0\0\0\0\300\377' >seed.gguf/alignment-nan
    cp seed.gguf/alignment-nan seed.split
    printf '\4Answer: "\366\234\220\223st#add"' >seed.extract/beyond-unicode
    t='{"dtype":"U8","shape":[2],"data_offsets":[0,2]}'
    for i in a b; do printf '\70\0\0\0\0\0\0\0{"%s":%s}   ok' $i "$t" >$i.safetensors; done
    for i in '"a":"a","b":"b"' '"a":"a","b":"c"' '"a":"b","b":"a"' '"a":"a","b":"../a"' '"a":"a","b":"d"' '"a":"a"'; do
        { printf '{"weight_map":{%s}}%s' "$i" "$cut"; cat a.safetensors; printf %s "$cut"; cat b.safetensors; } >"seed.index/$((k++))"
    done
    printf '\0%s\n%s\n' '{"schema":"prompt/1","task_id":"t/1","prompt":"def f(x):","max_tokens":4,"stop":["\n\n"],"sample":1}' \
        '{"task_id":2,"system":"be brief","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"prompt":"c","prefill":"d","adapter":"a"}' \
        >seed.request/two
    printf '\4{"prompt":"hi \\u00e9","template":"raw"}\n' >seed.request/raw
    for i in "$bin"/*; do
        k=options/$(basename "$i").json
        [ ! -f "$i" ] || "$i" --options=json >"$k" 2>/dev/null || rm "$k"
    done
    cp "$TOP"/recipes/*.yaml seed.recipe
    rm -f seed.*/*.meta.json
}

one() { # SECONDS KIND
    local rc=0
    nice "./fuzz_$2" -max_total_time="$1" -timeout=30 -print_final_stats=1 -verbosity=0 "seed.$2" >"$2.log" 2>&1 || rc=1
    printf 'fuzz_%s\n%s\n' "$2" "$(grep -vE 'Uses|dictionary' "$2.log")" # at once: others print too
    return $rc
}

if [ "$1" = --one ]; then
    one "$2" "$3"
    exit
fi
me=$(realpath "$0") bin=$(realpath "$1") seconds=$3
TOP=$(dirname "$me")/../..
cd "$2"
seeds "$bin"
shift 3
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 "$me" --one "$seconds" || { echo 'fuzz: findings: see above' >&2; exit 1; }
