# common - a small project of stub tools in $BATS_TEST_TMPDIR with the real mk/recipe.mk, recipe2mk and recipe-check
bats_require_minimum_version 1.5.0
TOP=${TOP:-$(cd "$(dirname "$BATS_TEST_FILENAME")/../.." && pwd)}
APR_BIN=${APR_BIN:-$TOP/build/bin}

project() {
    cd "$BATS_TEST_TMPDIR" || return
    mkdir -p bin recipes configs/models configs/bench data
    cp "$APR_BIN/recipe2mk" "$APR_BIN/recipe-check" bin
    for t in gguf2apr st2apr apr-gen apr-lora apr-fuse apr-quant apr-prune apr-distill apr-prompt apr-report apr; do
        cp "$TOP/tests/stub/stub" bin/$t
    done
    cp "$TOP/tests/stub/stub" bin/passk
    ln -sfn "$TOP/mk" mk
    cat >Makefile <<'END'
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash
.SHELLFLAGS := -euc
.DELETE_ON_ERROR:
B := bin
TOOLS := $(notdir $(wildcard bin/*))
all: ;
include mk/recipe.mk
END
    printf 'schema: model/1\nsource: data/tiny.gguf\nformat: gguf\n' >configs/models/tiny.yaml
    printf 'schema: model/1\nsource: hf://Some/Model\nformat: safetensors\n' >configs/models/big.yaml
    for b in one two three; do printf 'name: %s\n' $b >configs/bench/$b.yaml; done
    echo weights >data/tiny.gguf
    echo pairs >data/train.jsonl
    cat >recipes/t.yaml <<'END'
# a small recipe
schema: recipe/1
model: configs/models/tiny.yaml
bench:
  - one
  - two
stages:
  import:
    run: import
    in: model
  prompts:
    foreach: bench
    run: apr-prompt
    bench: $bench
  finetune:
    run: apr-lora
    in: import
    inputs:
      data: data/train.jsonl
    outputs:
      metrics: jsonl
    rank: 8
    lr: 2.0e-4
    uses: cpu
  fuse:
    run: apr-fuse
    in: import
    inputs:
      adapter: finetune
  samples:
    foreach: bench
    run: apr-gen
    in: prompts
    inputs:
      model: fuse
  score:
    foreach: bench
    run: passk
    in: samples
    json: true
  report:
    run: apr-report
    title: it's "done" for $5, 100%
    in:
      - score
      - finetune.metrics
    show: true
END
    R=runs/t@tiny
}
# The tools that ran since the last look, in their order, without arguments.
ran() {
    cut -d' ' -f1 calls 2>/dev/null | tr '\n' ' '
    rm -f calls
}
