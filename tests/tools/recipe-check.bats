#!/usr/bin/env bats
# recipe-check - the plan, and every exit code (tests/recipes/bad.bats has the refusals one by one)
load ../recipes/common
setup() { project; }

@test "the plan: stages in order, inputs, given options, defaults, outputs" {
    run --separate-stderr -0 bin/recipe-check recipes/t.yaml
    [ -z "$stderr" ]
    [ "${lines[0]}" = "t with tiny (data/tiny.gguf) into runs/t@tiny: 7 stages, 10 commands" ]
    [[ $output == *"3 finetune: apr-lora, uses cpu"* ]]
    [[ $output == *"--data             data/train.jsonl"* ]]
    [[ $output == *"defaults: --max-loss 0 --schedule cosine --method lora --task instruct --eval-every 0 --keep last --threads 0 --seed 42"* ]]
    [[ $output == *"out                runs/t@tiny/score.two.jsonl"* ]]
    [ ! -e runs ]
}
@test "another model, other benchmarks, another place; - is stdin; quiet" {
    run --separate-stderr -0 bin/recipe-check --model big --bench three --dir x/y - <recipes/t.yaml
    [ "${lines[0]}" = "stdin with big (hf://Some/Model) into x/y: 7 stages, 8 commands" ]
    [[ $output == *"import: st2apr"*"x/y/report.three.md"* ]]
    run --separate-stderr -0 bin/recipe-check -q recipes/t.yaml
    [ -z "$output$stderr" ]
}
@test "exit codes: 64 usage, 66 no recipe, 78 bad" {
    run --separate-stderr -64 bin/recipe-check
    run --separate-stderr -64 bin/recipe-check a b
    run --separate-stderr -66 bin/recipe-check nothing.yaml
    [ "$stderr" = "recipe-check: nothing.yaml: No such file or directory" ]
    head -c 200 recipes/t.yaml >cut.yaml
    run --separate-stderr -78 bin/recipe-check cut.yaml
    [[ $stderr == "recipe-check: cut.yaml:"* ]]
}
