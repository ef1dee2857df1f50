# objects, two libraries, all tools: build/<hash of flags>/, so that other flags never mix
flags := $(CC) $(STD) $(WARN) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) $(VERSION)
O := build/$(shell printf '%s' '$(flags)' | cksum | cut -d' ' -f1)
B := $O/bin

# build/bin always names the tools of the flags in use (a build for another machine is not used here)
$(shell mkdir -p $B; [ "$$(uname -m)" != '$(ARCH)' ] || [ "$$(readlink build/bin)" = "$(notdir $O)/bin" ] || \
  ln -sfn $(notdir $O)/bin build/bin)

TOOLS   := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
LIBSRC  := $(wildcard lib/*.c)
# a NAME.simd.c holds one subject written once and compiled for each instruction set; the sets that only add a byte
# product to another have their own mmq, the one that adds rounding to bf16 has its own train_bf16
ISAS    := generic $(if $(filter x86_64,$(ARCH)),avx2 avx512) $(if $(filter aarch64,$(ARCH)),neon)
ISAS_T  := $(if $(filter x86_64,$(ARCH)),avx512bf16)
ISAS_Q  := $(if $(filter x86_64,$(ARCH)),avxvnni) $(if $(filter aarch64,$(ARCH)),neon_i8mm)
SIMDSRC := $(wildcard kernels/cpu/*.simd.c)
# a NAME.tile.c works on AMX tiles; compiled once more in plain C as a model of them (kernels/cpu/tile.h)
TILES   := model $(if $(filter x86_64,$(ARCH)),amx)
TILESRC := $(wildcard kernels/cpu/*.tile.c)
KERNSRC := $(filter-out %.simd.c %.tile.c,$(wildcard kernels/*.c kernels/ref/*.c kernels/cpu/*.c))

libobj  := $(LIBSRC:%.c=$O/%.o)
kernobj := $(KERNSRC:%.c=$O/%.o) $(foreach i,$(ISAS),$(SIMDSRC:%.simd.c=$O/%.$i.o)) $(ISAS_Q:%=$O/kernels/cpu/mmq.%.o) \
           $(ISAS_T:%=$O/kernels/cpu/train_bf16.%.o) \
           $(foreach i,$(TILES),$(TILESRC:%.tile.c=$O/%.tile_$i.o))
toolobj := $(TOOLS:%=$O/tools/%.o)

isa_generic :=
# gcc 12 reorders sums of integers and the places of loads, and then sixteen registers no longer hold a tile
gcc_order   := $(if $(findstring clang,$(CC)),,-fno-tree-reassoc -fno-tree-ter)
# some passes take most of gcc's time in what sanitizers make of straight-line vector code, and win nothing there
gcc_quick   := $(if $(findstring clang,$(CC)),,$(if $(findstring -fsanitize,$(CFLAGS)),-fno-gcse -fno-tree-pre \
                 -fno-tree-vrp -fno-code-hoisting -fno-schedule-insns2 -fno-expensive-optimizations))
isa_avx2    := -mavx2 -mfma -mf16c $(gcc_order) $(gcc_quick)
isa_avx512  := -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mprefer-vector-width=512 $(gcc_quick)
isa_avx512bf16 := -DISA_avx512 -DROUND_bf16 $(isa_avx512) -mavx512bf16
isa_tile_model := -DISA=tile_model -DISA_generic
isa_tile_amx   := -DISA=tile_amx -DISA_avx512 -DTILE_amx $(isa_avx512) -mamx-tile -mamx-int8 -mamx-bf16
isa_avxvnni := $(isa_avx2) -mavxvnni
# gcc's first scheduling pass moves loads so far ahead that the sums of a tile no longer fit the registers
isa_neon    := -march=armv8.2-a+dotprod $(if $(findstring clang,$(CC)),,-fno-schedule-insns)
isa_neon_i8mm := $(subst +dotprod,+dotprod+i8mm,$(isa_neon))

# what the sandbox's Python loads: never with sanitizers, which the stock interpreter could not hold
ZYGSRC  := $(wildcard lib/zygote/*.c)
ZYGOTE  := $O/lib/apr/zygote.so
zygobj  := $(ZYGSRC:%.c=$O/%.o)
PYINC   := $(shell /usr/bin/python3-config --includes 2>/dev/null)
zygflags = $(STD) $(WARN) $(filter-out -fsanitize% -fno-sanitize%,$(CFLAGS)) -fPIC -fvisibility=hidden

all: $(TOOLS:%=$B/%) $(ZYGOTE)  ## build every tool into build/bin

# V=1 shows whole commands
Q := $(if $(V),,@)
compile = $(if $(V),,@echo '  CC      $@';)$(CC) $(STD) $(WARN) $(CFLAGS) $(CPPFLAGS) $1 -MMD -MP -c -o $@ $<

$(toolobj): $O/tools/%.o: tools/%.c
	@mkdir -p $(@D)
	$(call compile,-Ilib -Ikernels -DAPR_VERSION='"$(VERSION)"')
# -iquote: <yaml.h> and the like stay the system's
$(libobj): $O/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(call compile,-iquote lib -Ikernels -DAPR_VERSION='"$(VERSION)"')
# kernels are compiled without lib's include path: the compiler keeps the layers apart
$(KERNSRC:%.c=$O/%.o): $O/%.o: %.c
	@mkdir -p $(@D)
	$(call compile,-Ikernels)
# -fno-var-tracking: gcc's debug variables took minutes of compile time in straight-line vector code
define simd_rule
$(SIMDSRC:%.simd.c=$O/%.$1.o): $O/%.$1.o: %.simd.c
	@mkdir -p $$(@D)
	$$(call compile,-Ikernels -DISA=$1 -DISA_$1 $(isa_$1) -fno-var-tracking)
endef
$(foreach i,$(ISAS) $(ISAS_T) $(ISAS_Q),$(eval $(call simd_rule,$i)))
define tile_rule
$(TILESRC:%.tile.c=$O/%.tile_$1.o): $O/%.tile_$1.o: %.tile.c
	@mkdir -p $$(@D)
	$$(call compile,-Ikernels $(isa_tile_$1) -fno-var-tracking)
endef
$(foreach i,$(TILES),$(eval $(call tile_rule,$i)))

$(zygobj): $O/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC      $@';)$(CC) $(zygflags) -iquote lib $(PYINC) -MMD -MP -c -o $@ $<
$(ZYGOTE): $(zygobj)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK    $@';)$(CC) -shared $(zygflags) -o $@ $^

$O/libapr.a: $(libobj)
	@rm -f $@
	$Q$(AR) rcs $@ $^
$O/libkernels.a: $(kernobj)
	@rm -f $@
	$Q$(AR) rcs $@ $^

link = $(if $(V),,@echo '  LINK    $@';)$(CC) $(STD) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) -Wl,--as-needed $(LIBS)
$(TOOLS:%=$B/%): $B/%: $O/tools/%.o $O/libapr.a $O/libkernels.a
	$(link)

-include $(toolobj:.o=.d) $(libobj:.o=.d) $(zygobj:.o=.d) $(kernobj:.o=.d)

clean:  ## remove everything that was built (recipe runs stay)
	rm -rf build
.PHONY: all clean
