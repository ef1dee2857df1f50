# make check and its parts
UNIT  := $(patsubst tests/unit/%.c,$O/tests/unit/%,$(wildcard tests/unit/test_*.c))
KTEST := $(patsubst tests/kernels/%.c,$O/tests/kernels/%,$(wildcard tests/kernels/*.c))
testobj := $(UNIT:%=%.o) $(KTEST:%=%.o)

$(testobj): $O/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(call compile,-Itests -Ilib -Ikernels -DTOP='"$(CURDIR)"' -DAPR_VERSION='"$(VERSION)"')
$(UNIT): %: %.o $O/libapr.a $O/libkernels.a
	$(link)
$(KTEST): %: %.o $O/libkernels.a
	$(link)
-include $(testobj:.o=.d)

# BATS=... chooses files: make check-tools BATS=tests/tools/passk.bats
BATS    ?=
JOBS    ?= $(shell echo $$(($$(nproc) + 1)))# tests that wait leave a processor free
# tests run makes of their own: ours must not lend them its flags
testenv := APR_BIN=$(CURDIR)/$B TOP=$(CURDIR) tests/env
run_bats = $(testenv) bats --jobs $(JOBS) $(or $(BATS),$1)

check: check-unit check-kernels check-arm check-tools check-recipes check-docs check-layers  ## all tests
programs: unit-programs $(KTEST)  ## the test programs: for make -j, before tests that are not to run beside each other
unit-programs: $(UNIT)
check-unit: $(UNIT) all  ## unit tests of lib (TAP)
	$(testenv) prove -j $(JOBS) -e '' $(UNIT)
check-kernels: $(filter $O/tests/kernels/test_%,$(KTEST))  ## every op on every device against ref
	$(testenv) prove -j $(JOBS) -e '' $^
# The paths of another architecture, compiled across and run by an emulator; three processors: dotprod and i8mm, dotprod
# alone, neither (both paths must be refused).
arm_cc  := aarch64-linux-gnu-gcc
arm_run  = prove -j $(JOBS) -e 'qemu-aarch64 -cpu $1' $2
arm_make = $(MAKE) --no-print-directory CC=$(arm_cc) ARCH=aarch64 CFLAGS='-O2 -DKN_NO_PLUGIN' LDFLAGS=-static LIBS='-lm -lpthread'
check-arm:  ## the aarch64 paths under qemu-user
	@if echo '#include <stdio.h>' | $(arm_cc) -E - >/dev/null 2>&1 && command -v qemu-aarch64 >/dev/null; then \
	  $(arm_make) -j $(JOBS) arm-programs && $(arm_make) -j $(JOBS) -O arm-run; \
	else echo 'check-arm: skipped: no $(arm_cc) (gcc-aarch64-linux-gnu, libc6-dev-arm64-cross) or qemu-aarch64 (qemu-user)'; fi
arm_tests := $(addprefix $O/tests/kernels/,test_ops test_layer test_adapt test_train test_group test_path test_blocks test_gemm test_pick)
arm-programs: $(arm_tests)
arm-run: arm-run-neoverse-n1 arm-run-cortex-a72 arm-run-max
arm-run-max: $(arm_tests)
	$(testenv) $(call arm_run,max,$^) :: quick
arm-run-neoverse-n1 arm-run-cortex-a72: arm-run-%: $O/tests/kernels/test_path
	$(testenv) $(call arm_run,$*,$^) :: quick
check-tools: all  ## bats: one contract for all tools, one file a tool
	$(call run_bats,tests/tools)
check-recipes: all  ## bats: plan, resume, kill, lock
	$(call run_bats,tests/recipes)

# lib neither prints nor exits (cli.c aside); a tool includes no tool
check-layers:  ## the rules that the compiler cannot see
	@! grep -nE '(^|[^a-z_])(exit|printf|puts|abort) ?\(' lib/*.c kernels/*.c kernels/*/*.c | grep -v '^lib/cli\.c:' | grep -vE '\b_exit ?\(|[a-z]printf'
	@! grep -nE '#include "(\.\./)?tools/' tools/*.c lib/*.c
	@! grep -rnE '\b(strcpy|strtok|sprintf|gets|atoi) ?\(' tools lib kernels --include='*.[ch]'
	@! grep -rniE 'cuda|vulkan' lib tools --include='*.c' | grep -viE -- '--device|"device"|help|"cuda|"vulkan|\*' || { echo 'outside kernels/ nobody says CUDA or Vulkan'; exit 1; }

docs := $(wildcard tools/*.1 lib/*.5 lib/*.7)
check-docs: all  ## man pages lint, name every option, and begin every file with what it is
	@for m in $(docs); do [ -z "$$(groff -mdoc -ww -z $$m 2>&1)" ] || { echo "$$m: groff warns:"; groff -mdoc -ww -z $$m; exit 1; }; done
	@for t in $(TOOLS); do [ -f tools/$$t.1 ] || { echo "tools/$$t.1: missing"; exit 1; }; \
	  $B/$$t --options=json | jq -r '.options[].name' | while read -r o; do \
	    grep -q -- "Fl Fl $$o\b" tools/$$t.1 || { echo "tools/$$t.1: option --$$o is not described"; exit 1; }; done; done
	@git ls-files '*.c' '*.h' | while read -r f; do head -c 3 $$f | grep -q '^/\* ' || { echo "$$f: first line must say what it does"; exit 1; }; done
check-format:  ## clang-format agrees
	clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h')
.PHONY: check programs unit-programs check-unit check-kernels check-arm arm-programs arm-run arm-run-max \
        arm-run-neoverse-n1 arm-run-cortex-a72 check-tools check-recipes check-docs check-layers check-format

# libFuzzer over the readers of files from outside; needs clang. FUZZ_SECONDS each, corpus kept in build/fuzz
FUZZ_SECONDS ?= 60
fuzzsrc := $(wildcard lib/bpe*.c lib/spm*.c lib/pretok*.c lib/apr*.c lib/extract*.c lib/jinja*.c lib/py*.c lib/chat*.c lib/hparams*.c lib/model*.c lib/recipe*.c) \
           $(patsubst %,lib/%.c,adapter arch cache catalog ckpt cli dev err export gguf gguf_write hash hub hub_list imatrix import import_fill \
             import_names json json_pick jsonmend kld kldbase lora mapfile optim outdir outfile packed params paths peft quant quant_mix ranks request rng room rope safetensors sums \
             tensor unicode view vocab yaml)
fuzzobj := $(fuzzsrc:%.c=build/fuzz/%.o) build/fuzz/kernels/blocks.o
FUZZ  := $(patsubst tests/hostile/%.c,build/fuzz/%,$(wildcard tests/hostile/fuzz_*.c))
fuzzc := clang $(STD) -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -iquote lib -iquote kernels -DAPR_VERSION='"$(VERSION)"'
$(fuzzobj): build/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$Q$(fuzzc) -MMD -MP -c -o $@ $<
build/fuzz/lib.a: $(fuzzobj)
	$Q$(AR) rcs $@ $^
$(FUZZ): build/fuzz/%: tests/hostile/%.c tests/hostile/fuzz.h build/fuzz/lib.a $O/libkernels.a
	$Q$(fuzzc) -fsanitize=fuzzer -o $@ $(filter-out %.h,$^) -Wl,--as-needed $(LIBS)
-include $(fuzzobj:.o=.d)
fuzz: $(FUZZ) all  ## let libFuzzer at each reader (FUZZ_SECONDS=60)
	@tests/hostile/fuzz.sh $B build/fuzz $(FUZZ_SECONDS) $(FUZZ:build/fuzz/fuzz_%=%)
.PHONY: fuzz
