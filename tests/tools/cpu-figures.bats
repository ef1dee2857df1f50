#!/usr/bin/env bats
# cpu-figures - medians, ratios and verdicts of make bench, with stubs that print figures known beforehand
bats_require_minimum_version 1.5.0

setup() {
    mkdir "$BATS_TEST_TMPDIR/w"
    cd "$BATS_TEST_TMPDIR/w"
    mkdir -p bin models peers/llama peers/ik
    # our tools: each call of apr-bench is 100 tok/s faster, so that the second of three is the median
    cat >bin/apr-random <<'E2'
#!/bin/bash
echo "$*" >>calls; touch "${@: -1}"
E2
    cp bin/apr-random bin/apr2gguf
    cp bin/apr-random bin/gguf2apr
    printf '#!/bin/bash\necho "apr-pack $*" >>calls\n' >bin/apr-pack
    printf '#!/bin/bash\nprintf "{}\\n{}\\n"\n' >bin/apr-prompt
    cat >bin/apr-bench <<'E2'
#!/bin/bash
echo "apr-bench $*" >>calls
n=$(grep -c ^apr-bench calls)
for a; do [ "$b" != -o ] || exec >"$a"; b=$a; done
echo model,file_bytes,device,threads,kv_type,test,unit,repetitions,median,mean,sd,min,max,p50_ms,p90_ms,p99_ms,max_ms,kv_bytes,peak_bytes
for t in pp512 tg128 tg32 tg128x8 tg128x32; do echo "\"random\",1,cpu,2,f16,$t,tok/s,1,$((n * 100)),,,,,,,,,1048576,0"; done
[[ "$*" != *mem.csv* ]] || big=$(head -c 30000000 /dev/zero | tr '\0' a)
sleep 0.1
E2
    cat >bin/apr-gen <<'E2'
#!/bin/bash
echo "apr-gen $*" >>calls
E2
    # a peer: 50 tok/s of prompt, 25 of steps; what is asked for, in llama-bench's order
    cat >peers/llama/llama-bench <<'E2'
#!/bin/bash
echo "${0#*/peers/} $*" >>calls
while [ $# -gt 0 ]; do case $1 in -p) p=$2 ;; -n) n=$2 ;; esac; shift; done
[ "$p" = 0 ] || printf '{\n "n_prompt": %s,\n "avg_ts": 50.0,\n}' "$p"
[ "$n" = 0 ] || printf '{\n "n_gen": %s,\n "avg_ts": 25.000000,\n}' "$n"
E2
    cat >peers/llama/llama-batched-bench <<'E2'
#!/bin/bash
echo "${0#*/peers/} $*" >>calls
while [ $# -gt 0 ]; do case $1 in -npl) n=$2 ;; esac; shift; done
echo '|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |'
echo "|   128 |    128 |   $n |   2048 |    1.000 |   999.00 |    2.000 |    40.00 |    3.000 |   111.00 |"
E2
    printf '#!/bin/bash\n' >peers/llama/llama-simple
    printf '#!/bin/bash\ngrep -c . "$4"\nsleep 0.5\n' >peers/llama/llama-e2e
    chmod +x bin/* peers/*/*
    cp peers/llama/* peers/ik
    export BIN=$PWD/bin DIR=$PWD/models CPUS=$(taskset -cp $$ | sed 's/.*[ ,-]//') THREADS=1
    x="$TOP/tests/slow/cpu-figures.sh"
}

@test "medians of the rounds, ratios, what is wanted" {
    PEERS=$PWD/peers ROWS='^15b' run --separate-stderr -0 "$x"
    [ -z "$stderr" ]
    [ "${lines[2]}" = $'15b.pp\t1.5B Q4_K_M prefill 512, tok/s\t200\t-\t-\t-\t-\t-' ]
    [ "${lines[4]}" = $'15b.pp\t1.5B Q4_K_M prefill 512\t200\tllama.cpp\t50\t4.00\t>=6\tNO' ]
    [ "${lines[7]}" = $'15b.tg\t1.5B Q4_K_M decode\t200\tik repacked\t25\t8.00\t>=1.4\tyes' ]
    [ "${#lines[@]}" = 8 ]
    # in turns; ik's decode with its repacking
    [ "$(grep -v 'shape\|gguf -o\|apr -o' calls | cut -d' ' -f1 | head -n 8 | tr '\n' ' ')" = \
        "apr-bench llama/llama-bench ik/llama-bench ik/llama-bench apr-bench llama/llama-bench ik/llama-bench ik/llama-bench " ]
    [ "$(grep -c 'ik.* -p 0 -n 128 .*-rtr 1' calls)" = 3 ]
}

@test "all groups, all peers: a line for each, models made once" {
    PEERS=$PWD/peers ROUNDS=1 run --separate-stderr -0 "$x"
    [ -z "$stderr" ]
    [ "$(grep -c -- --shape calls)" = 3 ]
    for k in 15b.pp 15b.tg 05b.pp 05b.tg 05q8.pp 05q8.tg batch.8 batch.32 busy busy.llama busy.ik memory ttft e2e; do
        [[ "$output" == *$'\n'"$k"$'\t'* ]] || { echo "no $k"; return 1; }
    done
    [[ "$output" == *$'\nbatch.32\t'*$'\tllama.cpp\t40\t'* ]]
    # of the tool, not of the shell that started it: 30 MB and some, less 1 MiB of cache
    awk -F'\t' '/^memory.*beyond/ {exit !($3 > 25 && $3 < 150)}' <<<"$output" || { grep memory <<<"$output"; return 1; }
    [[ "$output" == *$'\ne2e\tbuilt-in model, 2 basic prompts'* ]]
    ! pgrep -f 'while :; do :; done' -P $$
}

@test "without peers our figures alone, and no GGUF file; one that fails is named and left out" {
    ROUNDS=1 ROWS='^05' run --separate-stderr -0 "$x"
    [ "${#lines[@]}" = 6 ]
    run -1 grep -q gguf calls
    printf '#!/bin/bash\necho no such model >&2\nexit 1\n' >peers/llama/llama-bench
    PEER=$PWD/peers/llama/llama-bench ROUNDS=1 ROWS='^15b' run --separate-stderr -0 "$x"
    [ "${#lines[@]}" = 4 ]
    [[ "$stderr" == *"peers/llama/llama-bench failed: no such model"* ]]
}
