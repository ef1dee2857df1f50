#!/usr/bin/env bats
# apr - dispatch and the translation of aprender's names, seen through stub tools
bats_require_minimum_version 1.5.0
TOP=${TOP:-$(cd "$(dirname "$BATS_TEST_FILENAME")/../.." && pwd)}
APR_BIN=${APR_BIN:-$TOP/build/bin}

# a directory of tools that print their command line
setup() {
    cd "$BATS_TEST_TMPDIR" && mkdir bin && cp "$APR_BIN/apr" bin
    for t in apr-gen apr-lora apr-quant apr-ppl; do
        printf '#!/bin/bash\n[ "$1" != --options=json ] || exec "%s/%s" "$1"\necho "%s $*"\n[ ! -e fail-%s ]\n' "$APR_BIN" $t $t $t >bin/$t
    done
    for t in gguf2apr st2apr apr2gguf apr2st apr-fuse apr-check apr-pull apr-diff passk apr-plan; do
        printf '#!/bin/bash\n[ "$1" != --options=json ] || exec "%s/%s" "$1"\necho "%s $*"\n' "$APR_BIN" $t $t >bin/$t
    done
    printf '#!/bin/bash\n[ "$1" != --options=json ] || exec "%s/gguf2apr" "$1"\necho x >"${*: -1}"; echo "gguf2apr $*"\n' "$APR_BIN" >bin/gguf2apr
    chmod +x bin/*
    mkdir hf
}
says() { # says "LINE;LINE" ARGS...
    local want=$1
    shift
    run --separate-stderr -0 bin/apr "$@"
    [ "${output//$'\n'/;}" = "$want" ] || { echo "$output"; return 1; }
}

@test "apr gen is apr-gen, apr passk is passk, arguments as they are" {
    says "apr-gen --x -m y" gen --x -m y
    says "passk a b" passk a b
    says "apr-check m.apr --json" check m.apr --json
}
@test "import" {
    says "gguf2apr m.gguf -o m.apr" import m.gguf -o m.apr
    says "st2apr hf -o m.apr" import hf --output=m.apr --arch qwen2
    says "st2apr hf --type f16 -o m.apr" import hf -o m.apr --quantize fp16
    says "st2apr hf --quantize q4_k_m -o m.apr" import hf -o m.apr --quantize q4km
    says "gguf2apr m.gguf -o m.apr.import.apr;apr-quant m.apr.import.apr --type q4_k_m -o m.apr" import m.gguf -o m.apr --quantize q4k
    [ ! -e m.apr.import.apr ]
    touch fail-apr-quant
    run -1 bin/apr import m.gguf -o m.apr --quantize q4k
    [ ! -e m.apr.import.apr ]
    says "apr-pull hf://S/M --quiet --include *.json --include *.safetensors --include *.jinja --exclude original/* --exclude consolidated*;st2apr --enforce-provenance hf://S/M --quantize q4_k_m -o m.apr" import hf://S/M -o m.apr --quantize q4k --enforce-provenance
    says "apr-pull hf://S/M:q.gguf --quiet;gguf2apr hf://S/M:q.gguf -o m.apr" import hf://S/M:q.gguf -o m.apr
    run --separate-stderr -64 bin/apr import m.gguf
    run --separate-stderr -64 bin/apr import m.bin -o m.apr
}
@test "run" {
    says "apr-gen -m m.apr --max-tokens 512 --prompt def f(): --text" run m.apr "def f():"
    says "apr-gen -m m.apr --max-tokens 9 --prompt hi --timings --temperature 0.5" run m.apr --prompt hi --max-tokens 9 --json --temperature 0.5
    says "apr-gen -m m.apr --max-tokens 512 p.jsonl --timings --top-k 1" run m.apr --batch-jsonl p.jsonl --top-k 1
    says "apr-gen -m m.apr --max-tokens 512 --prompt -x --text" run m.apr -- -x
    run --separate-stderr -64 bin/apr run m.apr
    run --separate-stderr -64 bin/apr run m.apr a b
    run --separate-stderr -64 bin/apr run m.apr a --no-such
    run --separate-stderr -64 bin/apr run m.apr --prompt
    run --separate-stderr -69 bin/apr run m.apr a --speculative
}
@test "finetune" {
    says "apr-lora m.apr -o a --rank 8 --lr 1e-3 --epochs 2 --data t.jsonl" finetune m.apr --method lora --rank 8 --lr 1e-3 --epochs 2 --data t.jsonl -o a
    says "apr-lora m.apr -o a --lr 1e-3" finetune m.apr --learning-rate=1e-3 --quantize-nf4 --vram 8 -oa
    says "apr-lora m.apr -o a.apr --method full --data t.jsonl" finetune m.apr --method full --data t.jsonl -o a.apr
    says "apr-lora m.apr --rank 8 --adapters t.jsonl:a,u.jsonl:b" finetune m.apr --rank 8 --adapters t.jsonl:a,u.jsonl:b
    says "apr-fuse m.apr --adapter a -o t.apr" finetune m.apr --merge --adapter a -o t.apr
    run --separate-stderr -69 bin/apr finetune m.apr --method dpo --data x -o a
    run --separate-stderr -69 bin/apr finetune m.apr --beta 0.1 --data x -o a
    says "apr-plan m.apr --method auto --rank 8 --ctx 256 --vram 24" finetune m.apr --plan --rank 8 --max-seq-len 256 --vram 24
    says "apr-plan m.apr --method qlora" finetune m.apr --method qlora --plan
    says "apr-plan m.apr -c 9" plan m.apr -c 9
    run --separate-stderr -64 bin/apr finetune m.apr --method magic --data x -o a
    run --separate-stderr -64 bin/apr finetune --model-size 7B --data x -o a
}
@test "quantize, eval" {
    says "apr-quant m.apr --type q4_0 -o q.apr" quantize m.apr --scheme int4 -o q.apr
    says "apr-quant m.apr --type q6_k --plan" quantize m.apr --scheme q6k --plan
    says "apr-quant m.apr --type q8_0 -o q-int8.apr;apr-quant m.apr --type f16 -o q-fp16.apr" quantize m.apr --batch int8,fp16 -o q.apr
    says "apr-ppl m.apr t.txt --json" eval m.apr --dataset t.txt --json
    run --separate-stderr -69 bin/apr quantize m.apr --scheme int4 --format gguf -o q.gguf
    run --separate-stderr -64 bin/apr quantize m.apr -o q.apr
    run --separate-stderr -64 bin/apr eval m.apr
}
@test "export" {
    says "apr2gguf m.apr -o m.gguf" export m.apr --format gguf --output m.gguf
    says "apr2st m.apr -o d" export m.apr --format safetensors --output d
    says "apr2st m.apr -o d" export m.apr --output d
    run --separate-stderr -69 bin/apr export m.apr --format onnx --output d
    run --separate-stderr -64 bin/apr export m.apr --format gguf
}
@test "compare-hf: the folder is A, another name is fetched" {
    says "apr-diff hf m.apr --threshold 1e-5" compare-hf m.apr --hf hf
    says "apr-diff hf m.gguf --threshold 0.1 --json --tensor q_proj --text t" compare-hf m.gguf hf --threshold 0.1 --json --tensor q_proj --text t
    says "apr-pull hf://O/N --quiet --include *.json --include *.safetensors --include *.jinja --exclude original/* --exclude consolidated*;apr-diff hf://O/N m.apr --threshold 1e-5" compare-hf m.apr --hf O/N
    run --separate-stderr -64 bin/apr compare-hf m.apr
    run --separate-stderr -64 bin/apr compare-hf m.apr hf --hf hf
}
@test "what is not built says so: 69" {
    for n in serve chat merge prune distill publish compile bench qa; do
        run --separate-stderr -69 bin/apr $n x
        [[ $stderr == "apr: "*" is not built yet" ]]
    done
    run --separate-stderr -69 bin/apr data prep d
    says "apr-pull hf://x" pull hf://x
    run --separate-stderr -69 bin/apr serve --help
}
@test "unknown names, help" {
    run --separate-stderr -64 bin/apr
    run --separate-stderr -64 bin/apr gne
    run --separate-stderr -64 bin/apr quantise
    [[ $stderr == *"did you mean 'quantize'?"* ]]
    run --separate-stderr -64 bin/apr ../../bin/sh
    run --separate-stderr -64 bin/apr data nothing
    run --separate-stderr -0 "$APR_BIN/apr" help
    [[ $output == *"apr-gen "*"answer prompts"*"compare-hf"* ]]
    run --separate-stderr -0 "$APR_BIN/apr" help gen
    [[ $output == "apr-gen - "* ]]
    run --separate-stderr -0 "$APR_BIN/apr" run --help
    [[ $output == *"--batch-jsonl"*"usage: apr-gen"* ]]
    run --separate-stderr -64 bin/apr help nothing
}
