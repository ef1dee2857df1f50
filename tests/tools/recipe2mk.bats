#!/usr/bin/env bats
# recipe2mk - rules and arguments, rewritten only when they change (tests/recipes/run.bats runs them)
load ../recipes/common
setup() { project; }

@test "one rule and one file of arguments a command" {
    run --separate-stderr -0 bin/recipe2mk recipes/t.yaml $R
    [ -z "$output$stderr" ]
    [ "$(ls $R/*.args | wc -l)" -eq 10 ]
    [ "$(jq -r .options.rank $R/finetune.args)" = 8 ]
    [ "$(jq -r .options.schedule $R/finetune.args)" = cosine ]
    [ "$(jq -r '.files["data/train.jsonl"]' $R/finetune.args)" = "$(sha256sum <data/train.jsonl | cut -d' ' -f1)" ]
    grep -q '^runs/t@tiny/fuse.apr: runs/t@tiny/fuse.args' $R/recipe.mk
    grep -q 'for \$\$5, 100%' $R/recipe.mk
}
@test "the variable of a foreach, wherever it stands in a value" {
    { sed '/^    title:/d; s/^    run: apr-report/&\n    foreach:\n      x:\n        - y\n    title: $x of $$x, $5 a $x$/' recipes/t.yaml; } >x.yaml
    run --separate-stderr -0 bin/recipe2mk x.yaml d
    [ "$(jq -r .options.title d/report.y.args)" = 'y of $y, $5 a y$' ]
}
@test "equal content keeps its time" {
    bin/recipe2mk recipes/t.yaml $R
    touch -d '1 hour ago' $R/*
    ls -l --time-style=full-iso $R/*.args >before
    sed -i 's/# a small/# another small/; s/2.0e-4/0.0002/' recipes/t.yaml
    bin/recipe2mk recipes/t.yaml $R
    ls -l --time-style=full-iso $R/*.args | cmp - before
    sed -i 's/rank: 8/rank: 9/' recipes/t.yaml
    bin/recipe2mk recipes/t.yaml $R
    [ "$(find $R -name '*.args' -mmin -30)" = $R/finetune.args ]
}
@test "a remembered digest is kept as long as size, time and inode stay" {
    bin/recipe2mk recipes/t.yaml $R
    sed -i 's/^[0-9a-f]* \(.*train.jsonl\)/'"$(printf '%064d' 0)"' \1/' $R/inputs.sum
    bin/recipe2mk recipes/t.yaml $R
    [ "$(jq -r '.files["data/train.jsonl"]' $R/finetune.args)" = "$(printf '%064d' 0)" ]
    touch data/train.jsonl
    bin/recipe2mk recipes/t.yaml $R
    [ "$(jq -r '.files["data/train.jsonl"]' $R/finetune.args)" = "$(sha256sum <data/train.jsonl | cut -d' ' -f1)" ]
    head -c 100 /dev/urandom >$R/inputs.sum
    bin/recipe2mk recipes/t.yaml $R
}
@test "the catalog's digest is law" {
    mkdir -p data configs/bench
    sed -i 's/data: data.train.jsonl/data: catalog:pairs/' recipes/t.yaml
    printf 'pairs:\n  file: data/train.jsonl\n  sha256: %s\n  bytes: 6\n' "$(sha256sum <data/train.jsonl | cut -d' ' -f1)" >data/catalog.yaml
    bin/recipe2mk recipes/t.yaml $R
    grep -q -- '--data data/train.jsonl' $R/recipe.mk
    echo more >>data/train.jsonl
    run --separate-stderr -65 bin/recipe2mk recipes/t.yaml $R
    [[ $stderr == *"data/train.jsonl: sha256 is "*", data/catalog.yaml says "* ]]
    sed -i 's/catalog:pairs/catalog:pears/' recipes/t.yaml
    run --separate-stderr -78 bin/recipe2mk recipes/t.yaml $R
    [[ $stderr == *"recipes/t.yaml:19:13: missing input: "* ]]
}
@test "apr-lora with method full writes a model; a benchmark that training is scored on is an input" {
    printf 'pairs:\n  file: data/train.jsonl\n  sha256: %s\n  bytes: 6\n' "$(sha256sum <data/train.jsonl | cut -d' ' -f1)" >data/catalog.yaml
    printf 'name: three\ndata: pairs\n' >configs/bench/three.yaml
    sed 's/^    rank: 8/    method: full\n    task: pretrain\n    eval-bench: three\n    eval-every: 50\n    keep: best/; /^  fuse:/,/adapter: finetune/d; s/model: fuse/model: finetune/' recipes/t.yaml >recipes/u.yaml
    bin/recipe2mk recipes/u.yaml d
    grep -q '^d/finetune.apr d/finetune.metrics.jsonl &: ' d/recipe.mk
    grep -q 'apr-lora d/import.apr --data data/train.jsonl --metrics d/finetune.metrics.jsonl --method full --task pretrain --eval-bench three --eval-every 50 --keep best.* -o d/finetune.apr' d/recipe.mk
    grep -q -- '--model d/finetune.apr' d/recipe.mk
    [ "$(jq -r '.options["eval-bench"]' d/finetune.args)" = three ]
    [ "$(jq -r '.files | keys | join(" ")' d/finetune.args)" = "configs/bench/three.yaml data/train.jsonl" ]
    sed -i 's/eval-bench: three/eval-bench: four/' recipes/u.yaml
    run --separate-stderr -78 bin/recipe2mk recipes/u.yaml d
    [[ $stderr == *"missing input: "*"configs/bench/four.yaml"* ]]
    sed -i 's/eval-bench: four/foreach:\n      m:\n        - lora\n        - full/; s/method: full/method: $m/' recipes/u.yaml
    run --separate-stderr -78 bin/recipe2mk recipes/u.yaml d
    [[ $stderr == *"method: decides what the stage writes"* ]]
}
@test "an alert's message goes to the tool, and re-runs nothing" {
    printf 'monitoring:\n  alerts:\n    - condition: loss > 9\n      action: stop\n      message: "the loss is lost"\n' >>recipes/t.yaml
    bin/recipe2mk recipes/t.yaml d
    grep -q -- "--max-loss 9 --alert 'the loss is lost'" d/recipe.mk
    cp d/finetune.args was
    sed -i 's/is lost/is gone/' recipes/t.yaml
    bin/recipe2mk recipes/t.yaml d
    cmp was d/finetune.args
    sed -i 's/is gone/is $lost/' recipes/t.yaml
    run --separate-stderr -78 bin/recipe2mk recipes/t.yaml d
    [[ $stderr == *"message: expected plain text"* ]]
}
@test "exit codes: 64 usage, 66 no recipe, 73 no folder, 78 bad" {
    run --separate-stderr -64 bin/recipe2mk recipes/t.yaml
    run --separate-stderr -66 bin/recipe2mk nothing.yaml d
    echo file >file
    run --separate-stderr -73 bin/recipe2mk recipes/t.yaml file/d
    sed 's/rank: 8/rank: -1/' recipes/t.yaml >b.yaml
    run --separate-stderr -78 bin/recipe2mk b.yaml d
    [ ! -e d ]
}
