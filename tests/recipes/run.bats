#!/usr/bin/env bats
# run - what a recipe runs and what it leaves alone: plan, edits, kill, locks, failures (stub tools)
load common
setup() { project; }

@test "a plan runs nothing and shows every command" {
    run make -n t
    [ "$status" -eq 0 ]
    [[ $output == *"# 4/10 finetune (uses cpu)"* ]]
    [[ $output == *"apr-lora runs/t@tiny/import.apr --data data/train.jsonl --metrics runs/t@tiny/finetune.metrics.jsonl --rank 8 --lr 2.0e-4 -o runs/t@tiny/finetune"* ]]
    [[ $output == *"passk runs/t@tiny/samples.one.jsonl --json > runs/t@tiny/score.one.jsonl"* ]]
    [ ! -e calls ] && [ ! -e $R/import.apr ] && [ ! -e $R/lock ]
}

@test "first run in order, report shown, second run silent" {
    run make t
    [ "$status" -eq 0 ]
    [[ $output == *'--title it'"'"'s "done" for $5, 100%'* ]]
    [ "$(ran)" = "gguf2apr apr-prompt apr-prompt apr-lora apr-fuse apr-gen apr-gen passk passk apr-report " ]
    [ -s $R/log/finetune.log ]
    run make t
    [ "$status" -eq 0 ]
    [ "$output" = "make[1]: Nothing to be done for 't'." ]
    [ -z "$(ran)" ]
}

@test "comments, spelling, threads and times re-run nothing" {
    make t && ran
    sed -i 's/^# a small recipe/# another comment/; s/lr: 2.0e-4/lr: 0.0002/; s/rank: 8/rank: 8 # why/; s/^    uses: cpu/&\n    threads: 1/' recipes/t.yaml
    touch -d '+1 hour' data/train.jsonl data/tiny.gguf configs/bench/one.yaml recipes/t.yaml
    make t
    [ -z "$(ran)" ]
}

@test "a parameter re-runs its stage and what follows" {
    make t && ran
    sed -i 's/rank: 8/rank: 16/' recipes/t.yaml
    run make -n t
    [[ $output != *gguf2apr* ]] && [[ $output == *"--rank 16"* ]]
    make t
    [ "$(ran)" = "apr-lora apr-fuse apr-gen apr-gen passk passk apr-report " ]
    make t
    [ -z "$(ran)" ]
}

@test "other content of an outside file re-runs what reads it" {
    make t && ran
    echo more >>data/train.jsonl
    make t
    [ "$(ran)" = "apr-lora apr-fuse apr-gen apr-gen passk passk apr-report " ]
    echo 'max: 3' >>configs/bench/two.yaml
    make t
    [ "$(ran)" = "apr-prompt apr-gen passk apr-report " ]
}

@test "a tool whose output version rises re-runs; a rebuilt one only with STRICT=1" {
    make t && ran
    echo '# rebuilt' >>bin/apr-gen
    make t
    [ -z "$(ran)" ]
    make t STRICT=1 && ran
    make t STRICT=1
    [ -z "$(ran)" ]
    echo '# rebuilt again' >>bin/apr-gen
    make t STRICT=1
    [ "$(ran)" = "apr-gen apr-gen passk passk apr-report " ]
    echo 2 >output-passk
    make t STRICT=1
    [ "$(ran)" = "passk passk apr-report " ]
}

@test "kill -9 of everything, then make: finished stages stay, the tool goes on" {
    echo 20 >slow-apr-lora
    setsid make t >out 2>&1 &
    for _ in $(seq 100); do [ "$(cat $R/finetune/*.part 2>/dev/null | wc -l)" -ge 3 ] && break; sleep 0.1; done
    kill -9 -- -$!
    flock -w 5 $R/lock true
    [ -s $R/import.apr ] && [ ! -e $R/finetune/adapter_model.safetensors ]
    ran
    make t
    [ "$(ran)" = "apr-lora apr-fuse apr-gen apr-gen passk passk apr-report " ]
    [ "$(grep -c 'step by' $R/finetune/adapter_model.safetensors)" -eq 20 ]
    [ "$(grep 'step by' $R/finetune/adapter_model.safetensors | sort -u | wc -l)" -eq 2 ]
}

@test "SIGTERM ends the tool too" {
    echo 100 >slow-apr-lora
    make t >out 2>&1 &
    pid=$!
    for _ in $(seq 100); do [ -s $R/finetune/adapter_model.safetensors.part ] && break; sleep 0.1; done
    kill -TERM $pid
    wait $pid || true
    flock -w 2 $R/lock true
}

@test "of two makers the second is refused with 75" {
    echo 15 >slow-apr-lora
    make t >out 2>&1 &
    for _ in $(seq 100); do [ -s $R/finetune/adapter_model.safetensors.part ] && break; sleep 0.1; done
    run make t
    [ "$status" -eq 2 ]
    [[ ${lines[-1]} == *"*** t: locked (75): another make works in runs/t@tiny.  Stop." ]]
    wait $!
    run make t
    [ "$output" = "make[1]: Nothing to be done for 't'." ]
}

@test "an orphan of a killed make keeps the lock" {
    echo 15 >slow-apr-lora
    make t >out 2>&1 &
    pid=$!
    for _ in $(seq 100); do [ -s $R/finetune/adapter_model.safetensors.part ] && break; sleep 0.1; done
    kill -9 $pid
    run make t
    [[ ${lines[-1]} == *"locked (75)"* ]]
    flock $R/lock true
    make t
}

@test "a failing stage keeps the old target; the last line names stage, code and log" {
    make t && ran
    cp $R/fuse.apr old
    echo 65 >fail-apr-fuse
    sed -i 's/rank: 8/rank: 16/' recipes/t.yaml
    run make t
    [ "$status" -eq 2 ]
    [[ $output == *"apr-fuse: in.jsonl:3: something bad"* ]]
    [[ ${lines[-1]} == *"*** t: stage fuse failed: exit 65 (bad input); log: runs/t@tiny/log/fuse.log.  Stop." ]]
    cmp old $R/fuse.apr
    [ "$(ran)" = "apr-lora apr-fuse " ]
    rm fail-apr-fuse
    make t
    [ "$(ran)" = "apr-fuse apr-gen apr-gen passk passk apr-report " ]
}

@test "a failing filter leaves no target" {
    echo 74 >fail-passk
    run make t
    [ "$status" -eq 2 ]
    [ ! -e $R/score.one.jsonl ] && [ ! -e $R/score.one.jsonl.tmp ]
    [[ ${lines[-1]} == *"stage score.one failed: exit 74 (input/output error)"* ]]
}

@test "a bad recipe ends with 78 in the last line, in a plan too" {
    sed -i 's/rank: 8/rnak: 8/' recipes/t.yaml
    run make t
    [ "$status" -eq 2 ]
    [[ $output == *"recipes/t.yaml:22:5: unknown key 'rnak'"* ]]
    [[ ${lines[-1]} == *"t: recipe2mk failed: exit 78 (bad recipe).  Stop." ]]
    run make -n t
    [ "$status" -eq 2 ]
}

@test "BENCH= and MODEL= never overwrite" {
    make t && ran
    cp $R/report.md old
    make t BENCH=three,one
    [ "$(ran)" = "apr-prompt apr-gen passk apr-report " ]
    cmp old $R/report.md
    [ -s $R/report.three+one.md ]
    make t
    [ -z "$(ran)" ]
    echo 69 >fail-apr
    run make t MODEL=big
    [ "$status" -eq 2 ]
    [[ ${lines[-1]} == *"t: stage fetch failed: exit 69 (missing backend or tool); log: runs/t@big/log/fetch.log"* ]]
    run make -n t MODEL=big
    [[ $output == *"apr pull hf://Some/Model -o runs/t@big/model"* ]]
    [[ $output == *"st2apr runs/t@big/model -o runs/t@big/import.apr"* ]]
    run make t MODEL=tyny
    [ "$status" -eq 2 ]
    [[ $output == *"no configs/models/tyny.yaml; there are: big tiny"* ]]
    run make t BENCH=four
    [[ $output == *"benchmark 'four': no configs/bench/four.yaml"* ]]
}

@test "-j runs it as well, one stage a device" {
    echo 2 >slow-apr-gen
    make -j4 t
    [ "$(ran | wc -w)" -eq 10 ]
    make -j4 t
    [ -z "$(ran)" ]
}

@test "why says what is newer" {
    run make why T=t/import
    [[ $output == *"target 'runs/t@tiny/import.apr' due to: "* ]]
    make t
    run make why T=t
    [ "$output" = "t: nothing to do" ]
    sed -i 's/rank: 8/rank: 16/' recipes/t.yaml
    run make why T=t/finetune
    [[ $output == *"due to: runs/t@tiny/finetune.args"* ]]
}

@test "a plan after an edit shows the stage and all that follows" {
    make t
    sed -i 's/rank: 8/rank: 16/' recipes/t.yaml
    run make -n t
    for s in finetune fuse samples.one samples.two report; do
        [[ $output == *" $s"* ]] || { echo "no $s in: $output"; return 1; }
    done
    [[ $output != *" import"$'\n'* ]]
}
