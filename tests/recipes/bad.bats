#!/usr/bin/env bats
# bad - every refusal of a recipe: 78 with file:line:col, nothing written
load common
setup() { project; }

# bad PLACE TEXT: recipe-check and recipe2mk refuse b.yaml so
bad() {
    run --separate-stderr -78 bin/recipe-check b.yaml
    [[ $stderr == "recipe-check: b.yaml:$1: $2"* ]] || { echo "$stderr"; return 1; }
    [ -z "$output" ]
    run --separate-stderr -78 bin/recipe2mk b.yaml d
    [ ! -e d ]
}
# edit SED: the good recipe, changed
edit() { sed "$1" recipes/t.yaml >b.yaml; }

@test "the syntax" {
    printf 'schema: recipe/1\n\tmodel: x\n' >b.yaml; bad 2:1 "a tab"
    edit 's/^    rank: 8/&\n    rank: 9/'; bad 23:5 "duplicate key 'rank', first in line 22"
    edit 's/^  - one/  - [one]/'; bad 5:5 "flow style"
    edit 's/rank: 8/rank: \&a 8/'; bad 22:11 "anchors"
    edit 's/rank: 8/rank: !!int 8/'; bad 22:11 "tags"
    : >b.yaml; bad 1:1 "expected a map or a list, found nothing"
    printf 'schema: recipe/1\nmodel: "x\n' >b.yaml; bad 3:1 "found unexpected end of stream"
}
@test "the top level" {
    edit 's/^bench:/benches:/'; bad 4:1 "unknown key 'benches', did you mean 'bench'?"
    edit 's/recipe.1/recipe\/2/'; bad 2:9 "schema: expected recipe/1, found 'recipe/2'"
    edit '/^schema/d'; bad 1:1 "schema: expected recipe/1, found ''"
    edit 's/tiny.yaml/tyny.yaml/'; bad 3:8 "model: no configs/models/tyny.yaml, did you mean 'tiny'?"
    edit '/^model/d'; run --separate-stderr -78 bin/recipe-check b.yaml; [[ $stderr == *"no model"* ]]
    edit 's/- two/- tow/'; bad 5:3 "bench: no configs/bench/tow.yaml"
    printf 'schema: recipe/1\nmodel: configs/models/tiny.yaml\nstages:\n' >b.yaml; bad 3:8 "expected stages:"
}
@test "a stage" {
    edit 's/run: apr-lora/run: apr-lroa/'; bad 16:10 "run: apr-lroa: no such tool in "
    [[ $(bin/recipe-check b.yaml 2>&1) == *"did you mean 'apr-lora'?" ]]
    edit 's/run: apr-lora/run: ..\/sh/'; bad 16:10 "run: ../sh: not the name of a tool"
    edit 's/rank: 8/rnak: 8/'; bad 22:5 "unknown key 'rnak': apr-lora has no option --rnak, did you mean 'rank'?"
    edit 's/rank: 8/rank: eight/'; bad 22:11 "rank: expected a whole number, found 'eight'"
    edit 's/rank: 8/rank: 8.5/'; bad 22:11 "rank: expected a whole number, found '8.5'"
    edit 's/rank: 8/rank: 0/'; bad 22:11 "rank: expected 1 to 4096, found 0"
    edit 's/rank: 8/schedule: sawtooth/'; bad 22:15 "schedule: expected one of cosine|linear, found 'sawtooth'"
    edit 's/json: true/json: yes/'; bad 40:11 "json: expected true or false, found 'yes'"
    edit 's/rank: 8/rank:\n      - 8/'; bad 23:7 "rank: expected one value of type int, found a list"
    edit 's/rank: 8/output: x/'; bad 22:5 "output: the recipe names the outputs itself"
    edit 's/uses: cpu/uses: tpu/'; bad 24:11 "uses: expected cpu or gpu, found 'tpu'"
    edit 's/show: true/show: 1/'; bad 47:11 "show: expected true or false, found '1'"
    edit 's/title: .*/title: see $seed/'; bad 43:12 "'\$seed' is not the variable of a foreach in this stage"
    edit 's/^  fuse:/  "fu se":/'; bad 25:3 "'fu se' cannot be the name of a stage"
    edit 's/^    run: apr-fuse//'; run --separate-stderr -78 bin/recipe-check b.yaml; [[ $stderr == *"stage fuse: no run: TOOL"* ]]
}
@test "inputs" {
    edit 's/in: samples/in: sampels/'; bad 39:9 "missing input 'sampels': no such stage, did you mean 'samples'?"
    edit 's/data: data.train.jsonl/data: data\/trian.jsonl/'; bad 19:13 "missing input: data/trian.jsonl: no such file"
    edit 's/data: data.train.jsonl/dta: data\/train.jsonl/'; bad 19:7 "inputs: apr-lora has no option --dta that takes a file, did you mean 'data'?"
    edit 's/data: data.train.jsonl/data: "data\/a b;rm.jsonl"/'; bad 19:13 "'data/a b;rm.jsonl': a path of letters"
    edit 's/in: samples/in: c\/x/'; bad 39:9 "missing input: c/x: no such file" # shorter than "catalog:"
    edit 's/- finetune.metrics/- finetune.losses/'; bad 46:9 "missing input 'finetune.losses': stage finetune has no 'losses' under outputs:"
    edit 's/rank: 8/metrics: fuse/'; bad 22:14 "metrics: fuse is a stage: write it under inputs:"
    rm data/tiny.gguf; cp recipes/t.yaml b.yaml
    run --separate-stderr -66 bin/recipe-check b.yaml
    [[ $stderr == *"configs/models/tiny.yaml: data/tiny.gguf: no such file"* ]]
}
@test "cycles, foreach" {
    edit '0,/^    in: import/s//    in: fuse/'; bad 29:16 "a cycle: finetune needs fuse needs finetune"
    edit 's/adapter: finetune/adapter: fuse/'; bad 29:16 "a cycle: fuse needs fuse"
    edit 's/foreach: bench/foreach: seed/'; bad 12:14 "foreach: expected bench, or a name with a list under it"
    edit '/^bench:/,/two/d'; run --separate-stderr -78 bin/recipe-check b.yaml; [[ $stderr == *"foreach: bench, but the recipe has no bench: list"* ]]
    edit '0,/foreach: bench/s//foreach:\n      bench:\n        - one/'; bad 35:9 "stage prompts is not repeated for bench = two"
    edit 's/foreach: bench/foreach:\n      x:\n        - a\/b/'; bad 14:9 "foreach: 'a/b' cannot be part of a file name"
}
@test "monitoring: obeyed, or refused" {
    cp recipes/t.yaml b.yaml
    printf 'monitoring:\n  alerts:\n    - condition: loss > 10\n      action: stop\n' >>b.yaml
    run -0 bin/recipe-check b.yaml
    [[ $output == *"--max-loss         10"* ]]
    sed 's/rank: 8/max-loss: 9/' b.yaml >c.yaml; mv b.yaml a.yaml; mv c.yaml b.yaml
    bad 50:7 "stage finetune has a limit of its own (max-loss)"
    sed 's/loss > 10/loss > -1/' a.yaml >b.yaml; run --separate-stderr -78 bin/recipe-check b.yaml
    sed 's/loss > 10/grad_norm > 100/' a.yaml >b.yaml; bad 50:7 "no tool can obey 'grad_norm > 100' with action 'stop'"
    sed 's/alerts/alarms/' a.yaml >b.yaml; bad 49:3 "unknown key 'alarms', did you mean 'alerts'?"
    sed 's/loss > 10/loss/' a.yaml >b.yaml; bad 50:7 "condition: expected something like loss > 10, found 'loss'"
    sed '/alerts/,$d' a.yaml >b.yaml; bin/recipe-check -q b.yaml
}
@test "a bad order warns, with the reason" {
    sed 's/run: apr-fuse/run: apr-prune/; /adapter:/d; /^  fuse/,/^  samples/s/    inputs:/    seed: 1/' recipes/t.yaml >b.yaml
    cat >>b.yaml <<'END'
  small:
    run: apr-quant
    in: fuse
  again:
    run: apr-lora
    in: small
    inputs:
      data: data/train.jsonl
END
    run --separate-stderr -0 bin/recipe-check b.yaml
    [[ $stderr == *"b.yaml:"*": stage again comes after small: quantization belongs last"* ]]
    [[ $stderr == *"stage again comes after fuse: finetuning fills pruned weights again"* ]]
    [ "${#stderr_lines[@]}" -eq 2 ]
}
@test "a tool that answers nonsense, too much, or never" {
    for t in 'echo {' 'yes' 'exit 3' 'kill -9 $$' 'echo "{\"options\":[{\"name\":\"a\",\"type\":\"blob\"}]}"'; do
        printf '#!/bin/bash\n%s\n' "$t" >bin/apr-lora
        cp recipes/t.yaml b.yaml
        bad 16:10 "run: apr-lora: "
    done
}
@test "hostile model pages and names" {
    cp recipes/t.yaml b.yaml
    echo 'source: "x;rm -rf y"' >configs/models/tiny.yaml
    run --separate-stderr -78 bin/recipe-check b.yaml
    printf 'schema: model/1\nsource: "../x $(y)"\nformat: gguf\n' >configs/models/tiny.yaml
    run --separate-stderr -78 bin/recipe-check b.yaml
    [[ $stderr == *"tiny.yaml:2:9: source: expected a path"* ]]
    run --separate-stderr -78 bin/recipe-check b.yaml --model '../../etc/passwd'
    run --separate-stderr -78 bin/recipe-check b.yaml --bench '$(x)'
    printf 'schema: model/1\nsource: data/tiny.gguf\nformat: gguf\n' >configs/models/tiny.yaml
    run --separate-stderr -64 bin/recipe2mk recipes/t.yaml 'a b'
}
# small files that would be large work: refused, and soon
@test "sizes" {
    { sed '/^  report:/,$d' recipes/t.yaml; printf '  report:\n    run: apr-report\n    in:\n'; yes '      - c/x' | head -1001; } >b.yaml
    run --separate-stderr -78 timeout 20 bin/recipe-check b.yaml
    [[ $stderr == *": stage report: more than 1000 inputs" ]]
    { sed '/^  report:/,$d' recipes/t.yaml; printf '  report:\n    run: apr-report\n    foreach:\n      x:\n'; printf "        - v%099d\n" {1..100}
      printf '    title: %s\n' "$(yes '$x' | head -200000 | tr '\n' .)"; } >b.yaml
    run --separate-stderr -71 timeout 20 bin/recipe-check b.yaml
    [ "$stderr" = "recipe-check: b.yaml: takes more than 256 MiB, or than there are" ]
}
