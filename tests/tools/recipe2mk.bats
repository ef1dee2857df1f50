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
@test "exit codes: 64 usage, 66 no recipe, 73 no folder, 78 bad" {
    run --separate-stderr -64 bin/recipe2mk recipes/t.yaml
    run --separate-stderr -66 bin/recipe2mk nothing.yaml d
    echo file >file
    run --separate-stderr -73 bin/recipe2mk recipes/t.yaml file/d
    sed 's/rank: 8/rank: -1/' recipes/t.yaml >b.yaml
    run --separate-stderr -78 bin/recipe2mk b.yaml d
    [ ! -e d ]
}
