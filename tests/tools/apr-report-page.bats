#!/usr/bin/env bats
# apr-report's pages in a browser: two widths, light and dark, console, policy, contrast, tasks, filters, hostile texts
bats_require_minimum_version 1.5.0

setup() {
    command -v chromium >/dev/null || skip "no chromium"
    cd "$BATS_TEST_TMPDIR"
    x="$APR_BIN/apr-report"
    page="$TOP/tests/browser/page.py"
}

# 24 tasks of two runs; tuned solves what base does, and four more
records() {
    for r in base tuned; do
        jq -cn --arg r $r 'range(24) | (if $r == "base" then . < 8 else . < 12 end) as $p | {schema: "verdict/1",
            task_id: "Basic/\(.)", sample: 0, bench: "basic", passed: $p, trust: "split", enforced: ["seccomp"],
            tests: {run: 3, total: 8}, cpu_ms: 2.5, wall_ms: 9, rss_kb: 14000,
            verdict: (if $p then "pass" elif . % 3 == 0 then "timeout_cpu" else "wrong_answer" end),
            detail: (if $p then "" else "assert 3 of 8" end)}' >$r-verdicts.basic.jsonl
        jq -c --arg r $r '{schema: "code/1", task_id, sample, bench, code: "def \($r)_\(.task_id[6:])():\n    return 1\n", how: "fence"}' \
            $r-verdicts.basic.jsonl >$r-code.basic.jsonl
        jq -c --arg r $r '{schema: "sample/1", task_id, sample, bench, text: "Here: \($r)", tokens_generated: 12, prompt_tokens: 30,
            finish: "stop", tok_per_sec: 80.5, inference_ms: 149}' $r-verdicts.basic.jsonl >$r-samples.basic.jsonl
    done
    jq -c '{schema: "prompt/1", task_id, bench, prompt: "Write number \(.task_id[6:])."}' base-verdicts.basic.jsonl >prompts.basic.jsonl
    "$APR_BIN/apr-compare" base-verdicts.basic.jsonl tuned-verdicts.basic.jsonl --json -o compare.basic.jsonl
    jq -cn '{schema: "metric/1", event: "epoch", step: 0, epoch: 0, loss: 1.9},
        (range(1; 200) | {schema: "metric/1", event: "step", step: ., epoch: 1, loss: (2 / .), lr: (1e-3 / .), grad_norm: 1}),
        {schema: "metric/1", event: "epoch", step: 199, epoch: 1, loss: 0.14}' >metrics.jsonl
}

@test "a report: readable, quiet, its tasks open, its filters filter" {
    records
    "$x" --title 'A & B' prompts.basic.jsonl {base,tuned}-{verdicts,code,samples}.basic.jsonl compare.basic.jsonl metrics.jsonl -o r.html
    cat >want.json <<'END'
{"title": "A & B", "tasks": 24, "differs": 4, "find": ["base_11", 1], "kind": ["timeout cpu", 5],
 "open": {"task": 9, "contains": ["basic Basic/9", "Write number 9.", "def base_9():", "def tuned_9():", "timeout cpu", "pass",
   "assert 3 of 8", "test 3 of 8", "12 tokens", "prompt 30", "149 ms", "CPU 2.5 ms", "14 MiB", "Answer as generated"]},
 "plain": ["33.3", "50.0", "may be chance", "wrong answer", "loss per token", "needs its script"]}
END
    run /usr/bin/python3 "$page" "$PWD/r.html" want.json
    echo "$output"
    [ "$status" = 0 ]
}

@test "several samples a task, thinking, earlier turns" {
    jq -cn 'range(6) as $t | range(5) | {schema: "verdict/1", task_id: "T/\($t)", sample: ., bench: "b", passed: (. < $t),
        verdict: (if . < $t then "pass" else "memory" end), detail: ""}' >n-verdicts.jsonl
    jq -c '{schema: "sample/1", task_id, sample, bench, text: "answer \(.sample)", thinking: "hm \(.sample)"}' n-verdicts.jsonl >n-samples.jsonl
    jq -c 'select(.sample == 0) | {schema: "prompt/1", task_id, bench, messages: [{role: "user", content: "an exemplar"}], system: "Be brief.", prompt: "Go."}' n-verdicts.jsonl >prompts.jsonl
    "$x" n-verdicts.jsonl n-samples.jsonl prompts.jsonl -o r.html
    grep -q 'class="v-part">40<' r.html
    echo '{"tasks": 6, "open": {"task": 2, "contains": ["Earlier turns", "Be brief.", "Go.", "answer 0", "Thinking"]}, "kind": ["memory", 5]}' >want.json
    run /usr/bin/python3 "$page" "$PWD/r.html" want.json
    echo "$output"
    [ "$status" = 0 ]
}

@test "a leaderboard: readable, quiet, sorted" {
    mkdir -p runs/r@m runs/s@m
    records
    "$APR_BIN/passk" base-verdicts.basic.jsonl --json -o runs/r@m/base-score.basic.jsonl
    "$APR_BIN/passk" tuned-verdicts.basic.jsonl --json -o runs/s@m/tuned-score.basic.jsonl
    "$x" --leaderboard runs --history h.jsonl -o l.html
    sed -i 's/"end":"20/"end":"21/' runs/r@m/*.meta.json
    sed -i 's/"passed":8/"passed":8 /' runs/r@m/*.jsonl
    "$x" --leaderboard runs --history h.jsonl -o l.html
    echo '{"title": "Leaderboard", "sort": true, "plain": ["50.0", "≈", "History"]}' >want.json
    run /usr/bin/python3 "$page" "$PWD/l.html" want.json
    echo "$output"
    [ "$status" = 0 ]
}

@test "hostile texts are shown, never run; the page stays small" {
    n=$(/usr/bin/python3 "$TOP/tests/browser/hostile.py" .)
    "$x" --title '</title><script>window.pwned=1</script>' ./*.jsonl -o r.html 2>err || { cat err; false; }
    [ "$(stat -c %s r.html)" -lt 3000000 ]
    jq -cn --argjson n "$n" '{tasks: $n, title: "</title><script>window.pwned=1</script>", kind: ["exception", ($n - 4)],
        open: {task: 0, contains: ["</script><script>window.pwned=1</script>", "<!--<script>window.pwned=1", "[<u>]"]}}' >want.json
    run /usr/bin/python3 "$page" "$PWD/r.html" want.json
    echo "$output"
    [ "$status" = 0 ]
    # what cannot be seen is made visible; what is cut says so
    grep -q '␛\[31mred' r.html
    grep -q '⟨202E⟩' r.html
    grep -q 'a⟨2028⟩b⟨2029⟩c⟨0085⟩d' r.html
    grep -q '"code+":5334464' r.html
    grep -q 'lone � and � 😀 and \\\\u0000' r.html
    grep -q 'raw ␀ byte and ␀ escape' r.html
    grep -q 'before␀after' r.html
    grep -qF '���� ' r.html
    grep -q 'records had bytes that are no text' r.html
    run ! grep -qP '[\x00-\x08\x0b-\x1f]' r.html
    /usr/bin/python3 -c 'open("r.html", encoding="utf-8").read()'
}

@test "the test itself sees a script, a request, a wide line, faint text" {
    records
    "$x" base-verdicts.basic.jsonl -o r.html
    echo '{}' >want.json
    for bad in '<script>window.pwned=1<\/script>' '<img src="http:\/\/127.0.0.1:9\/x.png" alt="">' '<p style="color:red">a<\/p>' \
        '<pre>'"$(printf 'w%.0s' {1..300})"'<\/pre><svg width="3000" height="3"><\/svg>' '<font color="#bbbbbb">faint<\/font>' '<h4 onclick="a()">b<\/h4>'; do
        sed "s/<main id=\"main\">/&$bad/" r.html >bad.html
        run ! /usr/bin/python3 "$page" "$PWD/bad.html" want.json
    done
    run -0 /usr/bin/python3 "$page" "$PWD/r.html" want.json
}
