#!/usr/bin/env bats
# apr-lora - optimizers: moments in bf16 and 8 bits, Muon, several processes
bats_require_minimum_version 1.5.0

load lora
setup() { train_files; }

# two processes, each with the arguments; the second's status and message are in rc and err
both() {
    "$x" -q "$@" --world-size 2 --world-rank 1 --meet meet 2>err &
    local other=$!
    rc=0
    run --separate-stderr "$x" "$@" --world-size 2 --world-rank 0 --meet meet
    wait $other || rc=$?
}
near() { # A B: as many losses, each within 1e-4
    jq -se --slurpfile z <(losses "$2") '(length == ($z | length)) and ([., $z] | transpose | all((.[0] - .[1] | fabs) < 1e-4))' <(losses "$1")
}

@test "moments in bf16 and 8 bits: it learns as with f32, the same for any threads, and resumes to the same bits" {
    opts=(m.apr --data d.jsonl --lr 1e-2 --batch 4 --epochs 2 --save-every 5)
    "$x" -q "${opts[@]}" -o f --metrics f.jsonl
    for s in bf16 8bit; do
        "$x" -q "${opts[@]}" -o a --optim-state $s --metrics $s.jsonl --threads 1
        run -1 cmp -s f/adapter_model.safetensors a/adapter_model.safetensors
        jq -se --slurpfile z <(losses $s.jsonl) '[., $z] | transpose | all((.[0] - .[1] | fabs) < 0.05 * .[0])' <(losses f.jsonl)
        dies_after_checkpoint b "${opts[@]}" -o b --optim-state $s
        run --separate-stderr -0 "$x" "${opts[@]}" -o b --optim-state $s
        [[ "$stderr" == *"going on after step"* ]]
        cmp a/adapter_model.safetensors b/adapter_model.safetensors
        rm -r a b
    done
}

@test "a checkpoint of other moments is passed over" {
    opts=(m.apr --data d.jsonl -o a --batch 2 --epochs 2 --save-every 2)
    dies_after_checkpoint a "${opts[@]}"
    run --separate-stderr -0 "$x" "${opts[@]}" --optim-state 8bit
    [[ "$stderr" == *"passed over"* ]]
}

@test "Muon: all weights are trained and the loss falls; not beside adapters" {
    opts=(m.apr --method full --data d.jsonl --lr 1e-2 --batch 8 --epochs 2)
    for s in f32 8bit; do
        "$x" -q "${opts[@]}" -o a.apr --optim muon --optim-state $s --metrics $s.jsonl
        jq -se 'map(select(.event=="step") | .loss) | .[-1] < 0.8 * .[0]' $s.jsonl
    done
    run --separate-stderr -64 "$x" m.apr --data d.jsonl -o b --optim muon
    [[ "$stderr" == *"--method full"* ]]
}

@test "--plan counts the moments" {
    moments() { "$x" m.apr --method full --data d.jsonl --plan --json "$@" 2>/dev/null | jq '[.lines[] | select(.what | contains("moments")) | .bytes] | add'; }
    f=$(moments)
    [ "$(moments --optim-state bf16)" = $((f / 2)) ]
    [ "$(moments --optim-state 8bit)" -lt $((f * 3 / 10)) ]
    [ "$(moments --world-size 2)" = $((f / 2)) ]
    [ "$(moments --optim muon)" -lt "$f" ]
    [ "$("$APR_BIN/apr-plan" m.apr -m full --json --optim-state bf16 | jq '[.lines[] | select(.what | contains("moments")) | .bytes] | add')" = $((f / 2)) ]
}

@test "two processes: one's loss curve, the same bytes each time; accumulation, validation and full training too" {
    opts=(m.apr --data d.jsonl --val v.jsonl --lr 1e-2 --batch 7 --accum 2 --epochs 3)
    "$x" -q "${opts[@]}" -o one --metrics one.jsonl
    both "${opts[@]}" -o two --metrics two.jsonl
    [ "$status" = 0 ] && [ "$rc" = 0 ] && [ ! -s err ] && [ ! -e meet ]
    [[ "$stderr" == *"epoch 3: validation loss"* ]]
    near one.jsonl two.jsonl
    [ "$(jq -c '[.event,.step,.loss_tokens,.tokens]' one.jsonl)" = "$(jq -c '[.event,.step,.loss_tokens,.tokens]' two.jsonl)" ]
    both "${opts[@]}" -o again --optim-state f32
    cmp two/adapter_model.safetensors again/adapter_model.safetensors
    opts=(m.apr --method full --data d.jsonl --lr 1e-3 --batch 8 --optim muon --optim-state 8bit)
    "$x" -q "${opts[@]}" -o one.apr --metrics one.jsonl
    both "${opts[@]}" -o two.apr --metrics two.jsonl
    [ "$status" = 0 ] && [ "$rc" = 0 ]
    near one.jsonl two.jsonl
}

@test "a process that is killed is an error on the other; the checkpoint stays, and any number goes on from it" {
    opts=(m.apr --data d.jsonl --batch 4 --epochs 60 --save-every 5 -o a)
    "$x" -q "${opts[@]}" --world-size 2 --world-rank 1 --meet meet &
    other=$!
    "$x" "${opts[@]}" --world-size 2 --world-rank 0 --meet meet 2>err &
    first=$!
    while [ ! -e a.ckpt ] && kill -0 $first 2>/dev/null; do :; done
    kill -9 $other
    rc=0
    wait $first || rc=$?
    [ "$rc" = 69 ]
    grep -q 'step [0-9]*: rank 1 is gone' err
    [ -e a.ckpt ] && [ ! -e a ]
    cp a.ckpt kept
    both "${opts[@]}"
    [ "$status" = 0 ] && [ "$rc" = 0 ]
    [[ "$stderr" == *"going on after step"* ]]
    mv a two
    mv kept a.ckpt
    run --separate-stderr -0 "$x" "${opts[@]}"
    [[ "$stderr" == *"going on after step"* ]]
    [ "$(stat -c %s two/adapter_model.safetensors)" = "$(stat -c %s a/adapter_model.safetensors)" ]
}

@test "adapters beside each other have moments of their own: each is what it is alone" {
    opts=(m.apr --lr 1e-2 --batch 4 --optim-state 8bit)
    "$x" -q "${opts[@]}" --adapters d.jsonl:a,v.jsonl:b
    for o in "d a" "v b"; do
        read -r data out <<<"$o"
        "$x" -q "${opts[@]}" --data "$data.jsonl" -o alone
        cmp "$out/adapter_model.safetensors" alone/adapter_model.safetensors
    done
}

@test "two processes keep the best weights; not with several adapters or a benchmark" {
    opts=(m.apr --data d.jsonl --val v.jsonl --lr 1e-2 --batch 8 --epochs 2 --keep best --patience 9)
    both "${opts[@]}" -o a
    [ "$status" = 0 ] && [ "$rc" = 0 ] && [[ "$stderr" == *"kept: step "* ]]
    [ -e a/adapter_model.safetensors ] && [ ! -e a.best.ckpt ]
    run --separate-stderr -64 "$x" m.apr --adapters d.jsonl:a,v.jsonl:b --world-size 2 --meet meet
    [[ "$stderr" == *"--world-size"*"--adapters"* ]]
    run --separate-stderr -64 "$x" m.apr --data d.jsonl --eval-bench basic -o b --world-size 2 --meet meet
    [[ "$stderr" == *"--world-size"*"--eval-bench"* ]]
}

@test "nobody comes, or one with other data: clear errors" {
    run --separate-stderr -64 "$x" m.apr --data d.jsonl -o a --world-size 2
    run --separate-stderr -69 "$x" m.apr --data d.jsonl -o a --world-size 2 --meet meet --wait 1
    [[ "$stderr" == *"meet: rank 1 did not come within 1 seconds"* ]]
    "$x" -q m.apr --data v.jsonl -o a --world-size 2 --world-rank 1 --meet meet 2>err &
    run --separate-stderr -64 "$x" m.apr --data d.jsonl -o a --world-size 2 --meet meet
    [[ "$stderr" == *"rank 1 has another model, other arguments or other data"* ]]
    rc=0
    wait $! || rc=$?
    [ "$rc" = 64 ] && grep -q "other data" err && [ ! -e a ]
}

@test "the meeting: strangers are passed over; another number, another count, other checkpoints are errors; no file is lost" {
    local at port=$((20000 + RANDOM % 10000)) other rc
    at=127.0.0.1:$port
    "$x" -q m.apr --data d.jsonl -o a --world-size 2 --meet $at 2>err &
    other=$!
    until { printf 'GET / HTTP/1.1\r\n%400s' x >/dev/tcp/127.0.0.1/$port; } 2>/dev/null; do kill -0 $other; done
    run --separate-stderr -0 "$x" m.apr --data d.jsonl -o a --world-size 2 --world-rank 1 --meet $at
    wait $other
    [ ! -s err ] && [ -e a/adapter_model.safetensors ]
    refused() { # MESSAGE ARGUMENT...: the first's, and of the last of three
        local text=$1
        shift
        "$x" -q m.apr --data d.jsonl -o b --world-size 3 --meet $at --wait 20 2>err &
        other=$!
        "$x" -q m.apr --data d.jsonl -o b --world-size 3 --world-rank 1 --meet $at --wait 20 2>/dev/null &
        run --separate-stderr -64 "$x" m.apr --data d.jsonl -o b --world-rank 2 --meet $at --wait 20 "$@"
        [[ "$stderr" == *"$text"* ]]
        rc=0
        wait $other || rc=$?
        [ $rc = 64 ] && grep -q "$text" err
        wait
    }
    refused "rank 2 has another model, other arguments or other data" --world-size 3 --save-every 3
    refused "it is one of 5 ranks, expected 3" --world-size 5
    run --separate-stderr -64 "$x" m.apr --data d.jsonl -o b --world-size 2 --meet v.jsonl
    [[ "$stderr" == *"v.jsonl: it exists, and is not the place of an earlier meeting"* ]]
    cmp v.jsonl <(head -8 d.jsonl)
    [ ! -e b ]
}

@test "one that is not there, or says nothing any more, is waited for no longer than --wait" {
    SECONDS=0
    run --separate-stderr -69 "$x" m.apr --data d.jsonl -o a --world-size 2 --world-rank 1 --meet 10.255.255.1:9 --wait 1
    [[ "$stderr" == *"10.255.255.1:9: rank 0 did not come within 1 seconds"* ]] && ((SECONDS < 20))
    opts=(m.apr --data d.jsonl --batch 4 --epochs 60 --save-every 5 -o a --wait 2 --world-size 2 --meet meet)
    "$x" -q "${opts[@]}" --world-rank 1 2>/dev/null &
    other=$!
    "$x" -q "${opts[@]}" 2>err &
    first=$!
    while [ ! -e a.ckpt ] && kill -0 $first 2>/dev/null; do :; done
    kill -STOP $other
    rc=0
    wait $first || rc=$?
    kill -KILL $other
    [ "$rc" = 69 ] && grep -q 'step [0-9]*: rank 1: nothing for 2 seconds' err
}
