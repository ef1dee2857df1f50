# recipes: `make recipe-a [MODEL=...] [BENCH=a,b] [STRICT=1]` runs recipes/recipe-a.yaml in runs/recipe-a@MODEL/
#
# The outer make takes the lock of the run (children inherit it, so it lives as long as any of them) and starts
# an inner one, which builds the tools, lets recipe2mk write recipe.mk and the .args files, includes and runs it.
RECIPES := $(patsubst recipes/%.yaml,%,$(wildcard recipes/*.yaml))
MODEL   ?=
BENCH   ?=
STRICT  ?=
plan_only := $(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS))))

model_of = $(patsubst %.yaml,%,$(notdir $(or $(MODEL),\
             $(shell sed -n 's/^model: *["'\'']\?\([^ "'\'']*\).*/\1/p' recipes/$1.yaml))))
run_of   = runs/$1@$(call model_of,$1)

ifdef RECIPE_RUN
# ---- the inner make: RECIPE_RUN is the folder of the run, RECIPE_END the file that says how it ended ----
recipe    := $(firstword $(subst @, ,$(notdir $(RECIPE_RUN))))
export PATH := $(abspath $B):$(PATH)
export RECIPE_RUN RECIPE_END

, := ,
# $(call stage,NAME,NUMBER,DEVICE,STDOUT,SHOW,DOC)COMMAND: under -n a comment and the bare command
define stage_plan
# $2 $1$(if $3, (uses $3))$(if $6,: $6)

endef
stage = $(if $(plan_only),$(stage_plan),@mk/stage '$1' '$2' '$3' '$4' '$5' '$@' )
to    = $(if $(plan_only), > $1)

$(RECIPE_RUN)/recipe.mk: recipe_force $(TOOLS:%=$B/%)
	@$B/recipe2mk recipes/$(recipe).yaml $(RECIPE_RUN) $(if $(MODEL),--model '$(MODEL)') $(if $(BENCH),--bench '$(BENCH)') \
	  $(if $(STRICT),--strict) || { rc=$$?; $(if $(RECIPE_END),echo "$$rc - recipe2mk" > $(RECIPE_END);) exit $$rc; }
recipe_force:
.PHONY: recipe_force
include $(RECIPE_RUN)/recipe.mk
$(recipe): $(recipe_targets)
.PHONY: $(recipe)

else
# ---- the outer make ----
exit_64 := usage
exit_65 := bad input
exit_66 := cannot open input
exit_69 := missing backend or tool
exit_70 := internal error
exit_71 := operating system error
exit_73 := cannot create output
exit_74 := input/output error
exit_75 := locked: another make works here
exit_78 := bad recipe
exit_126 := cannot run
exit_127 := no such tool
exit_130 := interrupted
exit_137 := killed, perhaps by a lack of memory
exit_139 := crashed
exit_143 := terminated

recipe_end = $(call run_of,$1)/log/.end.$(maker_pid)
inner = $(MAKE) --no-print-directory RECIPE_RUN='$(call run_of,$1)' RECIPE_END='$(if $(plan_only),,$(recipe_end))' $1
model_known = $(if $(wildcard configs/models/$(call model_of,$1).yaml),,$(error $1: no \
  configs/models/$(call model_of,$1).yaml; there are: $(sort $(basename $(notdir $(wildcard configs/models/*.yaml))))))
# $1: exit code, log or -, what failed
how_it_ended = $(if $1,$(error $@: $(if $(filter 75-make,$(firstword $1)-$(lastword $1)),locked (75): another make works in \
  $(call run_of,$@),$(wordlist 3,9,$1) failed: exit $(firstword $1) ($(or $(exit_$(firstword $1)),see \
  above))$(if $(filter-out -,$(word 2,$1)),; log: $(word 2,$1)))))

ifneq ($(filter $(RECIPES) $(RECIPES:%=%.run),$(MAKECMDGOALS)),)
maker_pid := $(shell echo $$PPID)
endif
ifeq ($(plan_only),)
# a plain file says how the run ended: make itself can only exit 2, so its last line is ours
$(RECIPES): %: %.run
	$(call how_it_ended,$(shell cat $(call recipe_end,$@) 2>/dev/null; rm -f $(call recipe_end,$@)))
$(RECIPES:%=%.run): %.run:
	$(call model_known,$*)
	@mkdir -p $(call run_of,$*)/log; find $(call run_of,$*)/log -name '.end.*' -mmin +1 -delete
	+@exec 9>>$(call run_of,$*)/lock; flock -n -E 75 9 || { echo "$$? - make" >$(call recipe_end,$*); exit 0; }; \
	rc=0; trap 'kill -TERM $$pid 2>/dev/null' INT TERM HUP; \
	$(call inner,$*) & pid=$$!; wait $$pid || rc=$$?; while kill -0 $$pid 2>/dev/null; do wait $$pid || rc=$$?; done; \
	[ $$rc = 0 ] || [ -s $(call recipe_end,$*) ] || echo "$$rc - make" >$(call recipe_end,$*)
else
$(RECIPES):
	$(call model_known,$@)
	+@$(call inner,$@)
endif
endif

why:  ## why T=recipe-a (or recipe-a/STAGE) would run: what is newer or missing
	@[ -n '$(T)' ] || { echo 'make why T=RECIPE or T=RECIPE/STAGE'; exit 64; }
	@$(MAKE) --no-print-directory -n --trace RECIPE_RUN='$(call run_of,$(firstword $(subst /, ,$(T))))' \
	  $(firstword $(subst /, ,$(T))) | sed -n "/recipe_force/d; s|^[^ ]*recipe.mk:[0-9]*: ||p" | grep -F '$(word 2,$(subst /, ,$(T)))' || echo '$(T): nothing to do'
.PHONY: why $(RECIPES) $(RECIPES:%=%.run)

# aprender's names in its order (apr help): present if the tool behind a name is built
verify: all  ## how many of aprender's 19 command names work
	@n=0; missing=; for t in import run serve chat finetune merge prune quantize distill eval export publish check compile \
	  bench inspect data qa compare-hf; do \
	  if $B/apr $$t --help >/dev/null 2>&1; then n=$$((n + 1)); else missing="$$missing $$t"; fi; done; \
	echo "$$n of 19 present$${missing:+; missing:$$missing}"
.PHONY: verify
