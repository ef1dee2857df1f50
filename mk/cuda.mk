# the CUDA device: build/.../lib/apr/cuda.so, opened when --device cuda is asked for; without nvcc it is left out
NVCC      ?= $(or $(shell command -v nvcc),$(wildcard /usr/local/cuda/bin/nvcc))
# cards by compute capability, and PTX that the driver of a later card compiles; CI only sees that it compiles
CUDA_ARCH ?= $(if $(CI),90a,80 86 89 90a 100 120 121)
CUDA_PTX  ?= $(if $(CI),,120)

CUSRC   := $(wildcard kernels/cuda/*.cu)
CUDASO  := $O/lib/apr/cuda.so
comma   := ,
cuflags := -std=c++20 -O2 -fmad=false $(foreach a,$(CUDA_ARCH),-gencode arch=compute_$a,code=sm_$a) \
           $(foreach a,$(CUDA_PTX),-gencode arch=compute_$a,code=compute_$a) \
           -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra,-Wno-missing-field-initializers$(if $(CI),$(comma)-Werror)
# objects of other flags have another folder, as $O has
cudir   := $O/cuda-$(shell printf '%s' '$(NVCC) $(cuflags)' | cksum | cut -d' ' -f1)
cuobj   := $(CUSRC:kernels/cuda/%.cu=$(cudir)/%.o)

ifneq ($(and $(NVCC),$(filter x86_64,$(ARCH))),)
all: $(CUDASO)
else ifneq ($(filter all,$(or $(MAKECMDGOALS),all)),)
$(info no nvcc here (NVCC=): the CUDA device is left out)
endif

$(cuobj): $(cudir)/%.o: kernels/cuda/%.cu
	@mkdir -p $(@D)
	$(if $(V),,@echo '  NVCC    $@';)$(NVCC) $(cuflags) -Ikernels -MD -MP -MF $(@:.o=.d) -c -o $@ $<
# cudart is linked in: the machine needs the driver alone
$(CUDASO): $(cuobj)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK    $@';)$(NVCC) -shared -cudart static -o $@ $^
-include $(cuobj:.o=.d)

# tools, libraries and tests for a machine with a card that has neither: gpu-kit/cuda.sh
kitbin := $(patsubst %,$B/%,apr-random gguf2apr apr-bench apr-gen apr-ppl apr-prompt apr-parity apr-lora) \
          $(patsubst %,$O/tests/kernels/%,test_ops test_layer test_adapt test_train test_group) $O/tests/unit/test_golden
gpu-kit: $(kitbin) $(CUDASO)  ## build/gpu-kit: tests/gpu/cuda.sh with all that it needs
	@rm -rf build/gpu-kit && mkdir -p build/gpu-kit/{bin,lib/apr,tests/kernels,data}
	@cp tests/gpu/cuda.sh build/gpu-kit && cp -L $(filter $B/%,$(kitbin)) build/gpu-kit/bin
	@cp $(filter $O/tests/%,$(kitbin)) build/gpu-kit/tests/kernels && cp $(CUDASO) build/gpu-kit/lib/apr
	@strip build/gpu-kit/bin/* build/gpu-kit/tests/kernels/* build/gpu-kit/lib/apr/*
	@ldd $(kitbin) | awk '$$2 == "=>" && $$3 ~ /^\// {print $$3}' | grep -vE '/(libc|libm|libpthread|libdl)\.so' | sort -u | \
	  xargs -I{} cp -L {} build/gpu-kit/lib
	@mkdir -p build/gpu-kit/configs/bench && cp configs/parity.yaml build/gpu-kit/configs
	@cp data/models/tiny-coder-29m-Q8_0.gguf data/receipt.jsonl build/gpu-kit/data && cp -r data/train build/gpu-kit
	@for b in basic humaneval basic-mbpp; do $B/apr-prompt --bench $$b; done >build/gpu-kit/data/prompts.jsonl
	du -sh build/gpu-kit
.PHONY: gpu-kit
