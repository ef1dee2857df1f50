#!/usr/bin/env bats
# apr-card - a model card from a run's sidecars and scores
bats_require_minimum_version 1.5.0

digest() { sha256sum "$1" | cut -d' ' -f1; }
# side FILE TOOL ARGS INPUT..: a sidecar; the digest of a file that does not exist is that of its name
side() {
    local f=$1 tool=$2 args=$3 inputs=() i
    shift 3
    for i; do
        [ -e "$i" ] || printf '%s' "$i" >"$i"
        inputs+=("$(jq -cn --arg p "$i" --arg s "$(digest "$i")" '{path: $p, sha256: $s}')")
    done
    [ -e "$f" ] || printf '%s' "$f" >"$f"
    jq -cn --arg s "$(digest "$f")" --argjson b "$(stat -c %s "$f")" --arg t "$tool" --argjson a "$args" --argjson i "$(printf '%s\n' "${inputs[@]}" | jq -cs .)" \
        '{schema: "meta/1", sha256: $s, bytes: $b, tool: $t, version: "0.1.0", args: $a, inputs: $i, end: "2026-11-22T00:00:00Z", seconds: 12, host: "h", device: "cpu:avx2"}' >"$f.meta.json"
}

made=runs/recipe-a@tiny-coder-29m
# A run of recipe-a with the built-in model, by hand: import, finetune, fuse; two runs judged and compared. Each test
# has its own copy.
setup_file() {
    mkdir "$BATS_FILE_TMPDIR/run"
    cd "$BATS_FILE_TMPDIR/run"
    local R=$made train r n m k
    mkdir -p $R data
    cp "$TOP"/data/models/*.gguf data/model.gguf
    find "$TOP/data/train" -name 'basic-finetune.jsonl*' -exec cp {} data/ \;
    train=$(ls data/basic-finetune.jsonl*)
    side $R/import.apr gguf2apr '{"output":"x"}' data/model.gguf
    side $R/finetune.safetensors apr-lora "$(jq -cn --arg d "$train" '{data: $d, rank: 16, lr: 0.002, rslora: false, val: ""}')" $R/import.apr "$train"
    side $R/fuse.apr apr-fuse '{"type":"q8_0"}' $R/import.apr $R/finetune.safetensors
    side $R/prompts.basic.jsonl apr-prompt '{"bench":"basic"}' "$TOP/data/bench/basic.jsonl.gz"
    for r in "base import 56" "tuned fuse 103"; do
        read -r n m k <<<"$r"
        side $R/$n-samples.basic.jsonl apr-gen '{"temperature":0}' $R/$m.apr $R/prompts.basic.jsonl
        jq -cn --argjson k "$k" 'range(164) | (. < $k) as $p | {schema: "verdict/1", task_id: "Basic/\(.)", sample: 0, bench: "basic",
            passed: $p, verdict: (if $p then "pass" else "exception" end)}' >$R/$n-verdicts.basic.jsonl
        side $R/$n-verdicts.basic.jsonl apr-sandbox '{"bench":"basic"}' $R/$n-samples.basic.jsonl
        "$APR_BIN/passk" $R/$n-verdicts.basic.jsonl --json -o $R/$n-score.basic.jsonl
    done
    "$APR_BIN/apr-compare" $R/{base,tuned}-verdicts.basic.jsonl --json -o $R/compare.basic.jsonl
}
setup() {
    cd "$BATS_TEST_TMPDIR"
    cp -a "$BATS_FILE_TMPDIR/run/." .
    x="$APR_BIN/apr-card"
    R=$made
    train=$(ls data/basic-finetune.jsonl*)
}

# the front matter as JSON, read by a YAML reader that is not ours
front() { /usr/bin/python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]).read().split("\n---\n")[0][4:])))' "$1"; }

@test "base, stages, data, results, recipe, hashes" {
    run --separate-stderr -0 "$x" $R
    [ -z "$stderr" ]
    [ "${lines[0]}" = "---" ]
    [[ "$output" == *"# tiny-coder-29m-recipe-a"* ]]
    [[ "$output" == *"- Base: tiny-coder-29m, trained from scratch"*"- Licence of the base: CC0-1.0."* ]]
    [[ "$output" == *"- Weights: \`fuse.apr\`, sha256 \`$(digest $R/fuse.apr)\`."* ]]
    [[ "$output" == *"This model is the run **tuned** below."* ]]
    [[ "$output" == *"| basic | pass@1 | 34.1 % [27.3, 41.7] 56 of 164 | 62.8 % [55.2, 69.8] 103 of 164 |"* ]]
    [[ "$output" == *"- **basic** base → tuned: 56 → 103 of 164, "*"McNemar p = "*": real"* ]]
    [[ "$output" == *"1. **gguf2apr 0.1.0** wrote \`import.apr\`"*"2. **apr-lora 0.1.0** wrote \`finetune.safetensors\` in 12 s on cpu:avx2: data $train, rank 16, lr 0.002, rslora false."*"3. **apr-fuse 0.1.0** wrote \`fuse.apr\`"* ]]
    [[ "$output" == *"| basic-finetune | training | CC0-1.0 | 6000 | the project's own task generator, seed 11"*" | \`$(digest "$train")\` |"* ]]
    [[ "$output" == *"### Decontamination"*"None was made: no receipt shows"* ]]
    [[ "$output" == *"make recipe-a MODEL=tiny-coder-29m"*'```yaml'*"foreach: bench"* ]]
    [[ "$output" == *"| fuse.apr | \`$(digest $R/fuse.apr)\` | $(stat -c %s $R/fuse.apr) | apr-fuse 0.1.0 | agrees |"* ]]
}

@test "the front matter is the Hub's" {
    /usr/bin/python3 -c 'import yaml' 2>/dev/null || skip "python3 has no yaml"
    "$x" $R --base Qwen/Qwen2.5-Coder-0.5B --tag finetuned --tag '"quoted": yes' --language code --language en -o card.md
    front card.md >f.json
    [ "$(jq -c '[.license, .language, .base_model, .base_model_relation, .pipeline_tag, .tags]' f.json)" = '["cc0-1.0",["code","en"],"Qwen/Qwen2.5-Coder-0.5B","finetune","text-generation",["code","lora","finetuned","\"quoted\": yes"]]' ]
    # modelcard.md: name, task.type, dataset.type, dataset.name, metrics[].type, metrics[].value are required
    [ "$(jq -r '."model-index"[] | .name, (.results[] | .task.type, .dataset.type, .dataset.name, (.metrics[] | .type, .value, .verified))' f.json | xargs)" = "tiny-coder-29m-recipe-a text-generation basic basic pass@1 0.628049 false" ]
}

@test "a model of the Hub is the base; --license, --name, --run" {
    mv $R runs/recipe-a@qwen2.5-coder-7b-instruct
    R=runs/recipe-a@qwen2.5-coder-7b-instruct
    run -0 "$x" $R
    [[ "$output" == *"license: apache-2.0"*"base_model: Qwen/Qwen2.5-Coder-7B-Instruct"* ]]
    run -0 "$x" $R --license 'My Terms 1' --name Mine --run base
    [[ "$output" == *"license: other"*'license_name: "my terms 1"'*"name: Mine"*"value: 0.341463"*"# Mine"*"the run **base**"* ]]
    [[ "$output" == *"- Weights: \`import.apr\`"* ]]
    [[ "$output" == *"No stage above took data."* ]]
    run --separate-stderr -65 "$x" $R --run nobody
    [[ "$stderr" == *"no scores of a run called nobody"* ]]
}

@test "a decontamination receipt must name the data" {
    jq -cn --arg s "$(digest "$train")" '{schema: "decontam/1", data: $s, removed: 3, method: "13-grams"}' >receipt.json
    run -0 "$x" $R --decontam receipt.json
    [[ "$output" == *"basic-finetune.jsonl"*": a receipt is there."*"- removed: 3"*"- method: 13-grams"* ]]
    [[ "$output" != *"None was made"* ]]
    jq -cn '{schema: "decontam/1", data: "another", removed: 3}' >receipt.json
    run --separate-stderr -65 "$x" $R --decontam receipt.json
    [[ "$stderr" == *"names the sha256 of none of the model's data"* ]]
    run --separate-stderr -66 "$x" $R --decontam nope.json
}

@test "data of unknown origin is said to be so, data that a tool freed has its receipt" {
    echo '{"prompt":"a"}' >data/own.jsonl
    side $R/finetune.safetensors apr-lora '{"data":"data/own.jsonl"}' $R/import.apr data/own.jsonl
    run -0 "$x" $R
    [[ "$output" == *"| own.jsonl | training | not known | not known | not known | \`$(digest data/own.jsonl)\` |"* ]]
    echo '{"prompt":"b"}' >data/raw.jsonl
    side data/own.jsonl data-decontam '{}' data/raw.jsonl
    run -0 "$x" $R
    [[ "$output" == *"own.jsonl: a receipt is there."* ]]
}

@test "files instead of a folder; without sidecars nothing is invented" {
    mkdir bare
    cp $R/*-score.basic.jsonl bare
    run -0 "$x" bare/base-score.basic.jsonl bare/tuned-score.basic.jsonl
    [[ "$output" == *"- Base: not known."*"- Licence of the base: not known."*"- Weights: the records do not say"* ]]
    [[ "$output" == *"No paired comparison was given"*"Not known: there are no sidecars"*"The recipe is not known."* ]]
    run ! grep -qE '^(license|base_model)' <<<"$output"
    run -0 "$x" $R/tuned-score.basic.jsonl $R/base-score.basic.jsonl
    [[ "$output" == *"the run **tuned**"*"3. **apr-fuse"* ]]
}

@test "what runs solve together is told, and is no score" {
    "$APR_BIN/apr-oracle" $R/{base,tuned}-verdicts.basic.jsonl --json -o $R/oracle.basic.jsonl
    for f in $R $R/oracle.basic.jsonl; do
        run -0 "$x" $f
        [[ "$output" == *"### Runs together"*"- **basic** pass@2 over 2 runs: 103 of 164 tasks, 62.8 %, "*"always solved 56, sometimes 47, never 61"* ]]
    done
    [[ "$output" == *"No score was given."* ]]
}

@test "runs of one name in two folders keep their folders" {
    mkdir ra rb
    cp $R/base-score.basic.jsonl ra/m-score.basic.jsonl
    cp $R/tuned-score.basic.jsonl rb/m-score.basic.jsonl
    run -0 "$x" ra/m-score.basic.jsonl rb/m-score.basic.jsonl --run ra/m
    [[ "$output" == *"the run **ra/m**"*"| benchmark | metric | ra/m | rb/m |"* ]]
}

@test "changed files are told" {
    echo more >>$R/fuse.apr
    run -0 "$x" $R
    [[ "$output" == *"| fuse.apr | "*" | apr-fuse 0.1.0 | changed since |"* ]]
}

@test "hostile names and texts stay text" {
    printf 'schema: recipe/1\n# ```` </script>\x1b[31m\n' >r.yaml
    sed -i 's/"tool":"gguf2apr"/"tool":"<script>|`x`\\n---\\nlicense: evil"/' $R/import.apr.meta.json
    run -0 "$x" $R --recipe r.yaml --name $'a\n---\nlicense: evil: "x"' --tag $'b\nc: d'
    [ "$(grep -c '^---$' <<<"$output")" = 2 ]
    run ! grep -q '^license: evil' <<<"$output"
    "$x" $R --recipe r.yaml --name $'a\n---\nlicense: evil: "x"' --tag $'b\nc: d' >card.md
    grep -q '^`````yaml' card.md
    grep -q '␛\[31m' card.md
    grep -qF '\<script>\|\`x\` --- license: evil 0.1.0' card.md
    ! /usr/bin/python3 -c 'import yaml' 2>/dev/null || [ "$(front card.md | jq -r '."model-index"[0].name, .tags[-1]' | paste -sd+)" = 'a --- license: evil: "x"+b c: d' ]
}

@test "the same bytes each time; a sidecar" {
    "$x" $R -o a.md
    "$x" $R | cmp - a.md
    [ "$(jq -r '.tool, .sha256' a.md.meta.json | xargs)" = "apr-card $(digest a.md)" ]
    "$x" $R -o $R/README.md # its own sidecar changes no later card
    "$x" $R | cmp - a.md
}

@test "exit codes" {
    run --separate-stderr -64 "$x"
    run --separate-stderr -66 "$x" nope
    run --separate-stderr -66 "$x" nope.jsonl more.jsonl
    run --separate-stderr -66 "$x" $R --recipe nope.yaml
    run --separate-stderr -73 "$x" $R -o no/such/dir/x
    run bash -c "'$x' $R >/dev/full"
    [ "$status" = 74 ]
    echo '{"schema":"score/1","bench":"b"}' >$R/zz.jsonl
    run --separate-stderr -65 "$x" $R
    [[ "$stderr" == *"zz.jsonl:1"* ]]
}

@test "inputs that are reached in many ways, and in a circle, are walked once" {
    mkdir z@m
    cp "$R"/base-score.basic.jsonl z@m/
    jq -c '.tool = "passk"' "$R"/base-score.basic.jsonl.meta.json >meta.json
    h() { printf '%064d' "$1"; }
    for i in $(seq 1 40); do
        for k in 0 1; do
            echo '{}' >z@m/d$i.$k.jsonl
            jq -cn --arg s "$(h $((2 * i + k)))" --arg a "$(h $((2 * i + 2)))" --arg b "$(h $((2 * i + 3)))" \
                '{schema: "meta/1", tool: "cat", sha256: $s, inputs: [{path: "a", sha256: $a}, {path: "b", sha256: $b}]}' >z@m/d$i.$k.jsonl.meta.json
        done
    done
    jq -c --arg a "$(h 2)" '.inputs = [{path: "a", sha256: $a}, {path: "b", sha256: $a}]' meta.json >z@m/base-score.basic.jsonl.meta.json
    run -0 timeout 20 "$x" z@m
    jq -c '.inputs = [{path: "a", sha256: .sha256}, {path: "b", sha256: .sha256}]' meta.json >z@m/base-score.basic.jsonl.meta.json
    run -0 timeout 20 "$x" z@m
}
