# make check and its parts
UNIT  := $(patsubst tests/unit/%.c,$O/tests/unit/%,$(wildcard tests/unit/test_*.c))
KTEST := $(patsubst tests/kernels/%.c,$O/tests/kernels/%,$(wildcard tests/kernels/*.c))
testobj := $(UNIT:%=%.o) $(KTEST:%=%.o)

$(testobj): $O/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(call compile,-Itests -Ilib -Ikernels -DTOP='"$(CURDIR)"')
$(UNIT) $(KTEST): %: %.o $O/libapr.a $O/libkernels.a
	$(link)
-include $(testobj:.o=.d)

check-unit: $(UNIT) all  ## unit tests of lib (TAP)
	APR_BIN=$(CURDIR)/$B prove -e '' $(UNIT)
check-kernels: $(filter %/test_ops %/test_%,$(KTEST))  ## every op on every device against ref
	prove -e '' $^
check-tools: all  ## bats tests of every tool
	APR_BIN=$(CURDIR)/$B bats --jobs 2 tests/tools
check: check-unit check-kernels check-tools  ## all tests
.PHONY: check check-unit check-kernels check-tools
