#!/usr/bin/env bats
# apr-report --leaderboard - all scores under runs/, ranked where they can be; their history
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-report"
    score r@big tuned 164 120
    score r@big base 164 60
    score s@big tuned 164 125
    score r@small tuned 164 30
    score r@big short 8 8
}

# score RUN_DIR NAME N_TASK PASSED: a file of scores with its sidecar
score() {
    mkdir -p "runs/$1"
    jq -cn --argjson n "$3" --argjson k "$4" 'range($n) | (. < $k) as $p | {schema: "verdict/1", task_id: "B/\(.)", sample: 0, bench: "b",
        passed: $p, verdict: (if $p then "pass" else "exception" end)}' >"runs/$1/$2-verdicts.b.jsonl"
    "$APR_BIN/passk" "runs/$1/$2-verdicts.b.jsonl" --json -o "runs/$1/$2-score.b.jsonl"
}

@test "one group a benchmark, metric and n; the highest first; overlaps are marked" {
    run --separate-stderr -0 "$x" --leaderboard runs
    [ -z "$stderr" ]
    [ "${lines[0]}" = "# Leaderboard" ]
    [ "$(grep -c '^## ' <<<"$output")" = 2 ]
    [[ "$output" == *"## b pass@1, 164 tasks"*"| 1 | s@big tuned | 76.2 % "*"| 2 ≈ | r@big tuned | 73.2 % "*"| 3 | r@big base | 36.6 % "*"| 4 | r@small tuned | 18.3 % "* ]]
    [[ "$output" == *"## b pass@1, 8 tasks"*"| 1 | r@big short | 100.0 % "* ]]
    [[ "$output" == *"not told apart by intervals alone; ask apr-compare"* ]]
    [[ "$output" == *"| $(date -u +%Y-)"*"| 0.1.0 | $(hostname) |"* ]]
}

@test "JSON lines and HTML have the same rows; the same bytes each time" {
    "$x" --leaderboard runs --format json >l.jsonl
    [ "$(jq -r 'select(.n_task == 164) | "\(.rank) \(.near) \(.model) \(.run)"' l.jsonl | xargs)" = "1 false big tuned 2 true big tuned 3 false big base 4 false small tuned" ]
    [ "$(jq -r '.schema' l.jsonl | sort -u)" = leaderboard/1 ]
    [ "$(jq -r 'select(.run == "short") | .score_sha256' l.jsonl)" = "$(sha256sum runs/r@big/short-score.b.jsonl | cut -d' ' -f1)" ]
    "$x" --leaderboard runs -o l.html --title 'Our models'
    grep -q '<title>Our models</title>' l.html
    [ "$(grep -c '<tr><td class="num" data-v' l.html)" = 5 ]
    grep -q 'class="sortable"' l.html
    "$x" --leaderboard runs -o l2.html --title 'Our models'
    cmp l.html l2.html
}

@test "equal scores share their rank" {
    score t@big tuned 164 125
    run -0 "$x" --leaderboard runs --format json
    [ "$(jq -r 'select(.n_task == 164) | .rank' <<<"$output" | xargs)" = "1 1 3 4 5" ]
}

@test "history: a line a result, nothing twice, new ones appended" {
    "$x" --leaderboard runs --history h.jsonl -o l.md
    [ "$(wc -l <h.jsonl)" = 5 ]
    cp h.jsonl before
    run --separate-stderr -0 "$x" --leaderboard runs --history h.jsonl -v -o l.md
    [[ "$stderr" == *"h.jsonl: 0 new results"* ]]
    cmp h.jsonl before
    run ! grep -q History l.md
    score s@big tuned 164 131
    "$x" --leaderboard runs --history h.jsonl -o l.md
    [ "$(wc -l <h.jsonl)" = 6 ]
    head -n 5 h.jsonl | cmp - before
    [ "$(tail -n 1 h.jsonl | jq -r '"\(.schema) \(.recipe) \(.model) \(.run) \(.passed) \(.input_sha256)"')" = "history/1 s big tuned 131 $(sha256sum runs/s@big/tuned-verdicts.b.jsonl | cut -d' ' -f1)" ]
    [[ "$(cat l.md)" == *"## History"*"- s@big tuned, b pass@1, 164 tasks"*"76.2 %"*"79.9 %"* ]]
    cp h.jsonl runs/history.jsonl # shown when it lies there, and not written
    "$x" --leaderboard runs >l2.md
    cmp l.md l2.md
    cmp h.jsonl runs/history.jsonl
}

@test "history: a torn last line goes, a damaged line is named, a second writer is refused" {
    "$x" --leaderboard runs --history h.jsonl -o l.md
    cp h.jsonl whole
    printf '{"schema":"history/1","reci' >>h.jsonl
    "$x" --leaderboard runs --history h.jsonl -o l.md
    cmp h.jsonl whole
    sed -i '2s/"n_task":[0-9]*/"n_task":"x"/' h.jsonl
    run --separate-stderr -65 "$x" --leaderboard runs --history h.jsonl
    [[ "$stderr" == *"h.jsonl:2: \"n_task\": expected a number"* ]]
    sed -i '2s/history.1/history\/2/' h.jsonl
    run --separate-stderr -65 "$x" --leaderboard runs --history h.jsonl
    cp whole h.jsonl
    run --separate-stderr -75 flock h.jsonl "$x" --leaderboard runs --history h.jsonl
    cmp h.jsonl whole
    run --separate-stderr -73 "$x" --leaderboard runs --history no/such/dir/h
}

@test "weights are followed from the score to the model" {
    echo '{"schema":"meta/1","sha256":"'"$(sha256sum runs/r@big/base-verdicts.b.jsonl | cut -d' ' -f1)"'","tool":"apr-sandbox","inputs":[{"path":"runs/r@big/s.jsonl","sha256":"'"$(printf 'a%.0s' {1..64})"'"}]}' >runs/r@big/base-verdicts.b.jsonl.meta.json
    echo '{"schema":"meta/1","sha256":"'"$(printf 'a%.0s' {1..64})"'","tool":"apr-gen","inputs":[{"path":"m.apr","sha256":"'"$(printf 'b%.0s' {1..64})"'"}]}' >runs/r@big/s.jsonl.meta.json
    run -0 "$x" --leaderboard runs
    [[ "$output" == *"| r@big base | 36.6 % "*"| bbbbbbbbbbbb |"* ]]
}

@test "what is no score is left alone; a damaged score is 65" {
    echo 'no json' >runs/r@big/x.jsonl
    echo '{"schema":"sample/1"}' >runs/r@big/y.jsonl
    echo '{"schema":"sample/1"' >runs/history-of-something.txt
    run --separate-stderr -0 "$x" --leaderboard runs
    [[ "$stderr" == *"runs/r@big/x.jsonl:1: "*": left out"* ]]
    [ "$(wc -l <<<"$stderr")" = 1 ]
    [ "$(grep -c '^| [0-9]' <<<"$output")" = 5 ]
    echo '{"schema":"score/1","bench":"b"}' >runs/r@big/z-score.jsonl
    run --separate-stderr -65 "$x" --leaderboard runs
    [[ "$stderr" == *"z-score.jsonl:1: score/1: expected"* ]]
}

@test "a damaged score is named, the others are ranked and remembered, the exit is 65" {
    line=$(cat runs/r@big/base-score.b.jsonl)
    { echo "$line" && echo "${line:0:100}"; } >runs/r@big/later-score.b.jsonl
    printf '%s' "${line:0:100}" >runs/r@big/torn-score.b.jsonl
    run --separate-stderr -65 "$x" --leaderboard runs --history h.jsonl
    [[ "$stderr" == *"runs/r@big/later-score.b.jsonl:2: "*": left out"*"runs/r@big/torn-score.b.jsonl:1: truncated"*": left out"* ]]
    [ "$(grep -c '^| [0-9]' <<<"$output")" = 5 ]
    [ "$(wc -l <h.jsonl)" = 5 ]
    rm runs/r@big/torn-score.b.jsonl
    echo '{"schema":"score/1",' >runs/r@big/later-score.b.jsonl
    run --separate-stderr -65 "$x" --leaderboard runs -o l.md
    [[ "$stderr" == *"later-score.b.jsonl:1: not JSON"* ]]
    [ "$(grep -c '^| [0-9]' l.md)" = 5 ]
}

@test "a file that is no history is left as it is" {
    printf '{"important":"data that is not a history"}' >a
    printf 'my notes line one\nsecond, without newline' >b
    printf '{"important":"with an end"}\n' >c
    printf '{"schema":"hist' >d
    "$x" --leaderboard runs --history h.jsonl -o l.md
    { cat h.jsonl && printf 'my own last words'; } >e
    gzip -c h.jsonl >f
    for f in a b c d e f; do
        cp $f before
        run --separate-stderr -65 "$x" --leaderboard runs --history $f
        [[ "$stderr" == *"apr-report: $f:"* ]]
        cmp $f before
    done
    printf '{"schema":"history/1","recipe":"r' >torn # the first line of a killed writer
    "$x" --leaderboard runs --history torn -o l.md
    cmp torn h.jsonl
    { cat h.jsonl && jq -c '.run = "gone"' h.jsonl | head -1 | tr -d '\n'; } >edited # an editor left no newline
    "$x" --leaderboard runs --history edited -o l.md
    { cat h.jsonl && jq -c '.run = "gone"' h.jsonl | head -1; } | jq -Sc . | cmp - <(jq -Sc . edited)
    [ "$(tail -c 1 edited)" = "" ]
    { cat h.jsonl && printf '{"sch'; } >torn
    "$x" --leaderboard runs --history torn -o l.md
    cmp torn h.jsonl
}

@test "history: numbers that no score can have are 65" {
    "$x" --leaderboard runs --history h.jsonl -o l.md
    for change in '.value = 5' '.interval = [0.9, 0.1]' '.interval[1] = 7' '.passed = 9999' '.passed = -1' '.ci = 95'; do
        { head -n 1 h.jsonl && sed -n 2p h.jsonl | jq -c "$change"; } >bad.jsonl
        run --separate-stderr -65 "$x" --leaderboard runs --history bad.jsonl
        [[ "$stderr" == *"bad.jsonl:2: history/1: value "* ]]
    done
    sed '2s/"value":[0-9.]*/"value":1e999/' h.jsonl >bad.jsonl
    run --separate-stderr -65 "$x" --leaderboard runs --history bad.jsonl
}

# many DIR NAME N_TASK N_SAMPLE PASSED [OPTION..]: tasks with several samples, the first PASSED pass them all
many() {
    mkdir -p "$1"
    jq -cn --argjson n "$3" --argjson m "$4" --argjson k "$5" 'range($n) | . as $t | range($m) | ($t < $k) as $p | {schema: "verdict/1",
        task_id: "B/\($t)", sample: ., bench: "b", passed: $p, verdict: (if $p then "pass" else "exception" end)}' >"$2.v"
    "$APR_BIN/passk" "$2.v" "${@:6}" --json -o "$1/$2-score.b.jsonl"
}

@test "several samples a task: intervals are clustered by task" {
    many many/r@m all 20 10 20
    many many/r@m most 20 10 18
    run -0 "$x" --leaderboard many
    [[ "$output" == *"| 1 | r@m all | 100.0 % [83.9, 100.0] | 200 of 200 |"*"| 2 ≈ | r@m most | 90.0 % ["* ]]
    [ "$("$x" --leaderboard many --format json | jq -c 'select(.rank == 1) | .interval')" = "$(jq -c .clustered many/r@m/all-score.b.jsonl)" ]
}

@test "intervals of two levels are two groups, and two lines of history" {
    many two/r@m a 20 1 20 --ci 0.5
    many two/r@m b 20 1 15 --ci 0.99
    run -0 "$x" --leaderboard two
    [[ "$output" == *"## b pass@1, 20 tasks, 50 % intervals"*"| 1 | r@m a "*"## b pass@1, 20 tasks, 99 % intervals"*"| 1 | r@m b "* ]]
    [[ "$output" != *"≈"* ]]
    "$x" --leaderboard two -o l.html
    grep -q ', 50&#8239;% intervals</span></h2>' l.html
    "$x" --leaderboard two --history h.jsonl -o l.md
    many two/r@m b 20 1 15 --ci 0.9
    "$x" --leaderboard two --history h.jsonl -o l.md
    run ! grep -q History l.md
    many two/r@m b 20 1 16 --ci 0.99
    "$x" --leaderboard two --history h.jsonl -o l.md
    grep -qx -- '- r@m b, b pass@1, 20 tasks, 99 % intervals' l.md
}

@test "the title is text; a digest in a sidecar is one" {
    jq -c '.inputs[0].sha256 = "|\u001b[31m" + "x" * 60' runs/r@big/base-score.b.jsonl.meta.json >m
    jq -cn --arg s "$(jq -r '.inputs[0].sha256' m)" '{schema: "meta/1", sha256: $s, tool: "apr-gen", inputs: [{path: "w", sha256: $s}]}' >runs/r@big/base-verdicts.b.jsonl.meta.json
    mv m runs/r@big/base-score.b.jsonl.meta.json
    run -0 "$x" --leaderboard runs --title $'<b>\n## x|\u202e\e[31m'
    [ "${lines[0]}" = '# \<b> ## x\|⟨202E⟩␛\[31m' ]
    [[ "$output" != *$'\e'* ]]
}

@test "hostile names and an empty folder" {
    mkdir -p 'runs/<img src=x>|`@<b>' empty
    cp runs/r@big/base-score.b.jsonl 'runs/<img src=x>|`@<b>/a|<script>-score.b.jsonl'
    run -0 "$x" --leaderboard runs
    [[ "$output" == *'| \<img src=x>\|\`@\<b> a\|\<script> |'* ]]
    "$x" --leaderboard runs -o l.html
    run ! grep -qE '<img|<script>-' l.html
    run -0 "$x" --leaderboard empty
    [[ "$output" == *"No scores."* ]]
    "$x" --leaderboard empty -o e.html
    run --separate-stderr -0 "$x" --leaderboard empty --format json
    [ -z "$output" ]
}

@test "exit codes" {
    run --separate-stderr -66 "$x" --leaderboard nope
    run --separate-stderr -64 "$x" --leaderboard runs a.jsonl
    run --separate-stderr -64 "$x" --history h.jsonl a.jsonl
    "$x" --leaderboard runs --history h.jsonl -o l.md
    cp h.jsonl before
    for o in "--history h.jsonl -o h.jsonl" "--history h.jsonl -o ./h.jsonl" "--history new.jsonl -o ./new.jsonl" "-o p --page ./p" "--history h.jsonl --page h.jsonl" "-o p --page p"; do
        run --separate-stderr -64 "$x" --leaderboard runs $o
        cmp h.jsonl before
    done
    cp h.jsonl runs/history.jsonl
    run --separate-stderr -64 "$x" --leaderboard runs -o runs/history.jsonl
    cmp h.jsonl runs/history.jsonl
    run --separate-stderr -73 "$x" --leaderboard runs -o no/such/dir/x
    run bash -c "'$x' --leaderboard runs >/dev/full"
    [ "$status" = 74 ]
}
