#!/usr/bin/env bats
# apr-report - one page out of scores, comparisons, tasks and metrics: Markdown, HTML, JSON
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-report"
    for r in "base 0 56" "tuned 5 110"; do
        read -r name from to <<<"$r"
        jq -cn --argjson a "$from" --argjson b "$to" 'range(164) | (. >= $a and . < $b) as $p | {schema: "verdict/1",
            task_id: "Basic/\(.)", sample: 0, bench: "basic", passed: $p,
            verdict: (if $p then "pass" else "exception" end)}' >"$name-verdicts.basic.jsonl"
        "$APR_BIN/passk" "$name-verdicts.basic.jsonl" --json >"$name-score.basic.jsonl"
    done
    "$APR_BIN/apr-compare" base-verdicts.basic.jsonl tuned-verdicts.basic.jsonl --json >compare.basic.jsonl
    jq -cn '{schema: "metric/1", event: "epoch", step: 0, epoch: 0, loss: 1.9},
        (range(1; 21) | {schema: "metric/1", event: "step", step: ., epoch: 1, loss: (2 / .)}),
        {schema: "metric/1", event: "epoch", step: 20, epoch: 1, loss: 0.14}' >metrics.jsonl
}

@test "scores, differences, training and verdicts on one page" {
    run --separate-stderr -0 "$x" --title "Run 7" base-score.basic.jsonl tuned-score.basic.jsonl compare.basic.jsonl metrics.jsonl
    [ "${lines[0]}" = "# Run 7" ]
    [[ "$output" == *"| benchmark | metric | base | tuned |"* ]]
    [[ "$output" == *"| basic | pass@1 | 34.1 % [27.3, 41.7] 56 of 164 | 64.0 % [56.4, 71.0] 105 of 164 |"* ]]
    [[ "$output" == *"- **basic** base → tuned: 56 → 105 of 164, +29.9 points [22.0, 37.8], McNemar p = 1.9e-11 (5 and 54 discordant): real"* ]]
    [[ "$output" == *"Loss 2.0000 → 0.1000 in 20 steps: \`█"* ]]
    [[ "$output" == *"Validation loss 1.9000 → 0.1400 (perplexity 6.686 → 1.150) after 1 epoch."* ]]
    [[ "$output" == *"| exception | 108 | 59 |"* ]]
}

@test "verdicts are scored; several comparisons are adjusted; chance is called chance" {
    run -0 "$x" base-verdicts.basic.jsonl
    [[ "$output" == *"| basic | pass@1 | 34.1 % [27.3, 41.7] 56 of 164 |"* ]]
    jq -c '.bench = "other" | .mcnemar_p = 0.04' compare.basic.jsonl >c2.jsonl
    run -0 "$x" compare.basic.jsonl c2.jsonl
    [[ "$output" == *"Holm 3.8e-11: real"* ]]
    jq -c '.mcnemar_p = 0.2' compare.basic.jsonl >c3.jsonl
    run -0 "$x" c3.jsonl
    [[ "$output" == *"may be chance (13.0 points would show)"* ]]
}

@test "-o, --print, - as input, the same bytes each time" {
    run --separate-stderr -0 "$x" base-score.basic.jsonl -o r.md
    [ -z "$output" ]
    run --separate-stderr -0 "$x" base-score.basic.jsonl -o r2.md --print
    [ "$output" = "$(cat r.md)" ]
    cmp r.md r2.md
    [ "$(jq -r '.inputs[0].path' r.md.meta.json)" = base-score.basic.jsonl ]
    "$x" - <metrics.jsonl | grep -q "Validation loss"
}

@test "damaged and doubled input is 65 and leaves nothing" {
    head -c 100 base-score.basic.jsonl >cut.jsonl
    echo '{"schema":"score/1","bench":"b"}' >empty.jsonl
    echo '{"schema":"sample/1"}' >sample.jsonl
    echo '{"schema":"compare/1","bench":"b","a":"x","b":"y"}' >c.jsonl
    echo '{"schema":"prompt/1","task_id":"t"}' >prompt.jsonl
    echo '{"schema":"code/1","task_id":"t"}' >code.jsonl
    echo '{"schema":"oracle/1","bench":"b"}' >oracle.jsonl
    echo '{"schema":"mystery/1"}' >mystery.jsonl
    echo '{"task_id":"no schema"}' >none.jsonl
    echo '{"schema":"code/1","code":7}' >type.jsonl
    for f in cut empty sample c prompt code oracle mystery none type; do
        run --separate-stderr -65 "$x" $f.jsonl -o r.md
        [[ "$stderr" == *"$f.jsonl:1"* ]]
        [ ! -e r.md ]
    done
    [[ "$(cat_err "$x" mystery.jsonl)" == *"found mystery/1"* ]]
    cp base-score.basic.jsonl base.jsonl
    run --separate-stderr -65 "$x" base-score.basic.jsonl base.jsonl
    [[ "$stderr" == *"a second score pass@1 of basic for run base"* ]]
    run --separate-stderr -65 "$x" /dev/null
    for r in code sample prompt; do
        jq -cn --arg s "$r/1" '{schema: $s, task_id: "Basic/0", bench: "basic", code: "a", text: "b", tokens_generated: 1, prompt: "c", how: "raw"} | ., .' >twice.jsonl
        run --separate-stderr -65 "$x" twice.jsonl
        [[ "$stderr" == *"twice.jsonl:2"*"a second"* ]]
    done
}

cat_err() {
    "$@" 2>&1 >/dev/null || true
}

@test "a score and the verdicts it came from may both be there; they must agree" {
    run -0 "$x" base-score.basic.jsonl
    alone=$output
    run -0 "$x" base-score.basic.jsonl base-verdicts.basic.jsonl
    [ "$output" = "$alone" ]
    run -0 "$x" base-verdicts.basic.jsonl base-score.basic.jsonl
    [ "$output" = "$alone" ]
    jq -c '.value = 0.5 | .passed = 82' base-score.basic.jsonl >x && mv x base-score.basic.jsonl
    run --separate-stderr -65 "$x" base-score.basic.jsonl base-verdicts.basic.jsonl
    [[ "$stderr" == *"pass@1 of basic is 0.341"*"the scores for this run base say 0.5"* ]]
    run --separate-stderr -65 "$x" base-verdicts.basic.jsonl base-score.basic.jsonl
    [[ "$stderr" == *"the verdicts for this run base say 0.341"* ]]
}

@test "texts of tasks change nothing in Markdown" {
    run -0 "$x" base-score.basic.jsonl metrics.jsonl
    before=$output
    jq -c '{schema: "code/1", task_id, sample, bench, code: "pass", how: "raw"}' base-verdicts.basic.jsonl >base-code.basic.jsonl
    jq -c '{schema: "sample/1", task_id, sample, bench, text: "pass"}' base-verdicts.basic.jsonl >other-samples.basic.jsonl
    jq -c '{schema: "prompt/1", task_id, bench, prompt: "do"}' base-verdicts.basic.jsonl >prompts.basic.jsonl
    run -0 "$x" prompts.basic.jsonl other-samples.basic.jsonl base-code.basic.jsonl base-score.basic.jsonl metrics.jsonl
    [ "$output" = "$before" ]
}

@test "names that look like markup are escaped in Markdown" {
    cp base-verdicts.basic.jsonl 'a|b<i>`-verdicts.basic.jsonl'
    run -0 "$x" 'a|b<i>`-verdicts.basic.jsonl'
    [[ "$output" == *'| a\|b\<i>\` |'* ]]
}

@test "the title is text; characters that are not seen are shown" {
    run -0 "$x" base-score.basic.jsonl --title $'a|b<i>\n# x\e[31m\u202e'
    [ "${lines[0]}" = '# a\|b\<i> # x␛\[31m⟨202E⟩' ]
    jq -c '.bench = "b\u202e\u009b31m"' base-score.basic.jsonl >base.jsonl
    run -0 "$x" base.jsonl
    [[ "$output" == *"| b⟨202E⟩⟨009B⟩31m | pass@1 |"* ]]
}

@test "several samples a task: the interval is clustered by task" {
    jq -cn 'range(2) | . as $t | range(10) | {schema: "verdict/1", task_id: "T/\($t)", sample: ., bench: "b", passed: true, verdict: "pass"}' >s-verdicts.jsonl
    "$APR_BIN/passk" s-verdicts.jsonl --json >s-score.jsonl
    for f in s-verdicts s-score; do
        run -0 "$x" $f.jsonl
        [[ "$output" == *"| b | pass@1 | 100.0 % [34.2, 100.0] 2 tasks, 20 samples |"*"95 % intervals, Wilson's, clustered by task"* ]]
        [ "$("$x" $f.jsonl --format json | jq -c '.scores[0].interval')" = "$(jq -c .clustered s-score.jsonl)" ]
    done
    "$x" s-score.jsonl --format html | grep -q '34.2 – 100.0'
    jq -c 'del(.clustered)' s-score.jsonl >s.jsonl # of an older passk
    run -0 "$x" s.jsonl
    [[ "$output" == *"[100.0, 100.0]"* ]]
}

@test "intervals of several levels are labelled one by one" {
    "$APR_BIN/passk" base-verdicts.basic.jsonl --ci 0.5 --json >base-score.jsonl
    "$APR_BIN/passk" tuned-verdicts.basic.jsonl --ci 0.99 --json >tuned-score.jsonl
    run -0 "$x" base-score.jsonl tuned-score.jsonl
    [[ "$output" == *"34.1 % [31.7, 36.7] (50 %) 56 of 164 | 64.0 % ["*"] (99 %) 105 of 164 |"*"In brackets: intervals, each at the level behind it"* ]]
    "$x" base-score.jsonl tuned-score.jsonl -o r.html
    grep -q '31.7 – 36.7 (50&#8239;%)<' r.html
    grep -q '(99&#8239;%)</td>' r.html
    grep -q 'Intervals at the level in parentheses' r.html
    run -0 "$x" tuned-score.jsonl
    [[ "$output" == *"In brackets: 99 % intervals"* ]]
    run ! grep -F '(99 %)' <<<"$output"
    jq -c '.ci = 0.9' compare.basic.jsonl >c.jsonl
    run -0 "$x" c.jsonl
    [[ "$output" == *"points [22.0, 37.8] (90 %), McNemar"* ]]
}

@test "harness errors are told; a run of nothing else has no score and stops no page" {
    jq -cn '("pass", "harness_error") as $v | {schema: "verdict/1", task_id: "B/\($v)", sample: 0, bench: "basic", passed: ($v == "pass"), verdict: $v}' >h-verdicts.jsonl
    tail -n 1 h-verdicts.jsonl >only-verdicts.jsonl
    run --separate-stderr -0 "$x" h-verdicts.jsonl
    note="1 of 2 tasks left out: harness errors, not the model's fault, judge again"
    [ "$stderr" = "apr-report: basic, run h: $note" ]
    [[ "$output" == *"1 of 1 |"*"- **basic** h: $note."* ]]
    "$x" h-verdicts.jsonl -q -o h.html
    grep -q '<b>basic</b> h: 1 of 2 tasks left out: harness errors' h.html
    [ "$("$x" h-verdicts.jsonl -q --format json | jq -c .left_out)" = '[{"bench":"basic","run":"h","harness_errors":1,"n_task":1,"of":2}]' ]
    run --separate-stderr -0 "$x" only-verdicts.jsonl base-verdicts.basic.jsonl --page p.html
    [[ "$stderr" == *"basic, run only: no score: harness errors in all tasks (1)"* ]]
    [[ "$output" == *"| benchmark | metric | base |"*"- **basic** only: no score: "* ]]
    grep -q '<b>basic</b> only: no score: ' p.html
    run -0 "$x" only-verdicts.jsonl
    [[ "$output" == *"- **basic** only: no score: "* ]]
    "$x" only-verdicts.jsonl -q -o only.html
    "$APR_BIN/passk" h-verdicts.jsonl --partial --json >h-score.jsonl
    run --separate-stderr -0 "$x" h-score.jsonl
    [[ "$stderr" == *"basic, run h: 1 harness error left out: "* ]]
    run --separate-stderr -0 "$x" h-score.jsonl h-verdicts.jsonl
    [ "$stderr" = "apr-report: basic, run h: $note" ]
    run --separate-stderr -0 "$x" h-verdicts.jsonl h-score.jsonl
    [ "$stderr" = "apr-report: basic, run h: $note" ]
}

@test "scores out of range are 65" {
    for change in '.value = 5' '.value = -0.1' '.clustered = [0.9, 0.1]' '.clustered = [-1, 0.5]' '.clustered[1] = 7' '.passed = 165' '.passed = -1' '.ci = 95' '.ceiling = 165' \
        '.harness_errors = -1' 'del(.clustered) | .wilson = [9, -7]'; do
        jq -c "$change" base-score.basic.jsonl >base.jsonl
        run --separate-stderr -65 "$x" base.jsonl
        [[ "$stderr" == *"base.jsonl:1: score/1: value "* ]]
    done
    sed 's/"value":[0-9.]*/"value":1e999/' base-score.basic.jsonl >base.jsonl
    run --separate-stderr -65 "$x" base.jsonl
    [[ "$stderr" == *"base.jsonl:1: "* ]]
}

@test "runs of one name in two folders are told apart by the folder" {
    mkdir -p ra rb deep/ra
    cp base-verdicts.basic.jsonl ra/tuned-verdicts.basic.jsonl
    cp tuned-verdicts.basic.jsonl rb/tuned-verdicts.basic.jsonl
    cp metrics.jsonl ra
    jq -c '.loss *= 2' metrics.jsonl >rb/metrics.jsonl
    for d in ra rb; do
        jq -c --arg d $d '{schema: "code/1", task_id, sample, bench, code: "code of \($d)", how: "raw"}' $d/tuned-verdicts.basic.jsonl >$d/tuned-code.basic.jsonl
        jq -c --arg d $d '{schema: "prompt/1", task_id, bench, prompt: "prompt of \($d)"}' $d/tuned-verdicts.basic.jsonl >$d/prompts.basic.jsonl
    done
    "$APR_BIN/apr-compare" ra/tuned-verdicts.basic.jsonl rb/tuned-verdicts.basic.jsonl --json >c.jsonl
    run -0 "$x" c.jsonl
    [[ "$output" == *"- **basic** ra/tuned → rb/tuned: 56 → 105 of 164"* ]]
    run --separate-stderr -0 "$x" ra/*.jsonl rb/*.jsonl c.jsonl base-score.basic.jsonl --page p.html
    [ -z "$stderr" ]
    [[ "$output" == *"| benchmark | metric | ra/tuned | rb/tuned | base |"*"ra/tuned → rb/tuned"*"Training (ra/metrics.jsonl)"*"Training (rb/metrics.jsonl)"* ]]
    sed -n 's/.*<script type="application.json" id="[a-z]*">\(.*\)<.script>.*/\1/p' p.html >data.json
    [ "$(jq -c '[.. | objects | select(.prompt?) | [.r, .prompt]] | unique' data.json)" = '[[0,"prompt of ra"],[1,"prompt of rb"]]' ]
    cp rb/tuned-verdicts.basic.jsonl deep/ra
    run -0 "$x" ra/tuned-verdicts.basic.jsonl deep/ra/tuned-verdicts.basic.jsonl
    [[ "$output" == *"| ra/tuned | deep/ra/tuned |"* ]]
    cp ra/tuned-verdicts.basic.jsonl .
    run -0 "$x" tuned-verdicts.basic.jsonl rb/tuned-verdicts.basic.jsonl
    [[ "$output" == *"| ./tuned | rb/tuned |"* ]]
    run --separate-stderr -65 "$x" ra/tuned-verdicts.basic.jsonl ./ra/tuned-verdicts.basic.jsonl # one file, twice
    [[ "$stderr" == *"second score"* ]]
}

@test "--format and the ending of the output choose; --page writes HTML beside it" {
    f="base-score.basic.jsonl tuned-score.basic.jsonl compare.basic.jsonl metrics.jsonl"
    "$x" $f -o r.html && [[ "$(head -c 15 r.html)" == "<!doctype html>" ]]
    "$x" $f --format html | cmp - r.html
    "$x" $f -o r.json && "$x" $f --format json | cmp - r.json
    [ "$(jq -r '.schema, .scores[1].run, .scores[1].passed, .differences[0].real, .training[0].steps, .inputs[3].schema' r.json | xargs)" = "report/1 tuned 105 true 20 metric/1" ]
    [ "$(jq -r '.inputs[0].sha256' r.json)" = "$(sha256sum base-score.basic.jsonl | cut -d' ' -f1)" ]
    "$x" $f -o r.md --page p.html
    head -n 1 r.md | grep -qx '# Report'
    cmp p.html r.html
    [ "$(jq -r .sha256 p.html.meta.json)" = "$(sha256sum p.html | cut -d' ' -f1)" ]
    "$x" $f -o r.html --format md && cmp r.md r.html
    run --separate-stderr -64 "$x" $f --format pdf
    run --separate-stderr -64 "$x" $f -o same.html --page same.html
    [ ! -e same.html ]
    run --separate-stderr -73 "$x" $f -o never.md --page no/such/dir/p.html
    [ ! -e never.md ]
}

@test "the HTML page stands alone: no address outside, no style or handler in the markup" {
    "$x" base-verdicts.basic.jsonl tuned-verdicts.basic.jsonl compare.basic.jsonl metrics.jsonl -o r.html
    grep -q 'Content-Security-Policy" content="default-src .none.;' r.html
    sed 's/<script type="application.json".*//' r.html >bare.html
    run ! grep -E '<(img|link|iframe|object|embed)|url\(|@import|https?://' bare.html
    run ! grep -E ' (style|on[a-z]+)="' bare.html
    "$x" base-verdicts.basic.jsonl tuned-verdicts.basic.jsonl compare.basic.jsonl metrics.jsonl | cmp - <("$x" base-verdicts.basic.jsonl tuned-verdicts.basic.jsonl compare.basic.jsonl metrics.jsonl)
    "$x" base-verdicts.basic.jsonl tuned-verdicts.basic.jsonl compare.basic.jsonl metrics.jsonl -o r2.html
    cmp r.html r2.html
}

@test "receipts follow the sidecars back and say what has changed" {
    "$APR_BIN/passk" base-verdicts.basic.jsonl --json -o base-score.basic.jsonl
    "$x" base-score.basic.jsonl -o r.html
    grep -q 'base-score.basic.jsonl</span> <span class="muted">passk [0-9.]*, [0-9.]* s</span><span class="tag yes">agrees' r.html
    grep -q 'base-verdicts.basic.jsonl</span> <span class="muted"></span><span class="tag none">no sidecar' r.html
    echo >>base-score.basic.jsonl.meta.json
    sed -i 's/"passed":56/"passed": 56/' base-score.basic.jsonl
    "$x" base-score.basic.jsonl -o r.html
    grep -q 'class="tag no">changed since' r.html
    echo '{' >base-score.basic.jsonl.meta.json
    "$x" base-score.basic.jsonl -o r.html
    grep -q 'class="tag no">sidecar damaged' r.html
}

@test "ceilings: of the benchmark for all its tasks, or what the score says" {
    "$x" base-score.basic.jsonl -o r.html
    grep -q '>164 of 164<' r.html
    jq -c '.ceiling = 160 | .ceiling_of = 164' base-score.basic.jsonl >base.jsonl
    "$x" base.jsonl -o r.html
    grep -q '>160 of 164<' r.html
    jq -c '.bench = "../../x"' base-score.basic.jsonl >base.jsonl
    "$x" base.jsonl -o r.html
    grep -q 'not measured' r.html
}

@test "several runs solve together: oracle records" {
    echo '{"schema":"oracle/1","bench":"humaneval","metric":"pass@2","n_run":2,"n_task":4,"solved":3,"value":0.75,"ci":0.95,"wilson":[0.300642,0.954413],"always":1,"sometimes":2,"never":1,"runs":[{"run":"a.jsonl","unique":1,"unique_tasks":["HumanEval/1"]}]}' >o.jsonl
    "$x" o.jsonl -o r.html
    grep -q 'pass@2 over 2 runs' r.html
    grep -q 'a alone solved 1: <span class="code">HumanEval/1' r.html
    run -0 "$x" o.jsonl
    [[ "$output" == *"## Runs together"*"- **humaneval** pass@2 over 2 runs: 3 of 4 tasks, 75.0 %, 95 % interval [30.1, 95.4] (Wilson); always solved 1, sometimes 2, never 1"* ]]
    jq -c '.runs += [{run: "x/a.jsonl", unique: 0}] | .runs[0].run = "y/a.jsonl"' o.jsonl >o2.jsonl
    "$x" o2.jsonl -o r.html
    grep -q ' y/a alone solved 1' r.html
    grep -q ' x/a alone solved 0' r.html
}

@test "compare/1 and oracle/1 out of range are 65; losses near the largest number are drawn" {
    for change in '.mcnemar_p = -7' '.mcnemar_p = 5' '.difference = 2' '.bootstrap = [0.5, 0.1]' '.ci = 95' '.pass_a = 999' '.only_b = -1' '.detectable = -1'; do
        jq -c "$change" compare.basic.jsonl >c.jsonl
        run --separate-stderr -65 "$x" c.jsonl
        [[ "$stderr" == *"c.jsonl:1: compare/1: difference "* ]]
    done
    "$APR_BIN/apr-oracle" base-verdicts.basic.jsonl tuned-verdicts.basic.jsonl --json >o.jsonl
    for change in '.solved += 1' '.always = -1' '.value = 2' '.n_run = -5' '.never += 1' '.n_task = 1e300'; do
        jq -c "$change" o.jsonl >o2.jsonl
        run --separate-stderr -65 "$x" o2.jsonl
        [[ "$stderr" == *"o2.jsonl:1: oracle/1: "* ]]
    done
    jq -cn '(1.7e308, -1.7e308, 1) as $l | {schema: "metric/1", event: "step", step: 1, loss: $l}' >m.jsonl
    run -0 "$x" m.jsonl
    [[ "$output" == *"█▁"* ]]
}

@test "exit codes" {
    run --separate-stderr -64 "$x"
    run --separate-stderr -66 "$x" nope.jsonl
    run --separate-stderr -73 "$x" metrics.jsonl -o no/such/dir/x
    run bash -c "'$x' metrics.jsonl >/dev/full"
    [ "$status" = 74 ]
    mkdir -p tree/bin tree/configs/bench tree/configs/report # a tool and its configs, damaged
    cp "$x" tree/bin
    run --separate-stderr -66 tree/bin/apr-report metrics.jsonl --format html
    [[ "$stderr" == *"configs/report/report.css: No such file"* ]]
    echo 'p {}' >tree/configs/report/report.css
    echo '"</script>"' >tree/configs/report/report.js
    run --separate-stderr -78 tree/bin/apr-report metrics.jsonl --format html
    [[ "$stderr" == *"report.js: expected text without </style or </script"* ]]
}
