# make bench: how fast it runs here, beside llama.cpp where one is named; nothing of it is part of check
benchbin  := $(patsubst %,$B/%,apr-random apr2gguf gguf2apr apr-bench apr-gen apr-pack apr-prompt)
BENCH_DIR ?= build/bench# random-weight models: 1.8 GB, and as much again as GGUF when there is a peer

# PEER and the like reach the script as they are: its head tells all of them
bench: $(benchbin)  ## speed on this machine; PEER=llama-bench [PEER_BATCHED=...]: both in turns, with ratios
	@set -o pipefail; BIN=$B DIR=$(BENCH_DIR) tests/slow/cpu-figures.sh | \
	  awk -F'\t' '/^#/ {print; next} {printf "%-9s %-58s %8s  %-11s %8s %6s %7s  %s\n", $$1, $$2, $$3, $$4, $$5, $$6, $$7, $$8}'
bench-kernels: $(filter $O/tests/kernels/bench_%,$(KTEST))  ## measure the kernels alone
	@for b in $^; do $$b; done
# tools with the libraries that they need, for a machine that has neither: tar x, then bench-kit/cpu-figures.sh
bench-kit: $(benchbin)  ## build/bench-kit.tar: the same on a machine without compiler
	@rm -rf build/bench-kit && mkdir -p build/bench-kit/{bin,lib,data}
	@cp tests/slow/cpu-figures.sh build/bench-kit && cp -L $(benchbin) build/bench-kit/bin && strip build/bench-kit/bin/*
	@ldd $(benchbin) | awk '$$2 == "=>" && $$3 ~ /^\// {print $$3}' | grep -vE '/(libc|libm|libpthread|libdl)\.so' | sort -u | \
	  xargs -I{} cp -L {} build/bench-kit/lib
	@cp data/models/tiny-coder-29m-Q8_0.gguf build/bench-kit/data && $B/apr-prompt --bench basic >build/bench-kit/data/prompts.jsonl
	tar -C build -cf build/bench-kit.tar bench-kit
.PHONY: bench bench-kernels bench-kit
