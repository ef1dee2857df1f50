# Debian packages that a target needs: found by a compile test, installed as root, else named in one line
# DEPS=no only prints what is missing; nothing is ever installed under -n
deps_build := yaml.h:libyaml-dev cjson/cJSON.h:libcjson-dev zlib.h:zlib1g-dev libdeflate.h:libdeflate-dev \
              openssl/evp.h:libssl-dev utf8proc.h:libutf8proc-dev seccomp.h:libseccomp-dev curl/curl.h:libcurl4-openssl-dev stdio.h:libc6-dev
deps_run   := python3-config:python3-dev flock:util-linux
# wanted, not needed: without them the tests of C++, JavaScript and the aarch64 paths are skipped
deps_wish  := g++:g++ node:nodejs aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu \
              aarch64-linux-gnu-gcc:libc6-dev-arm64-cross qemu-aarch64:qemu-user
deps_check := bats:bats parallel:parallel prove:perl groff:groff-base jq:jq xz:xz-utils gzip:gzip

goals     := $(or $(MAKECMDGOALS),all)
deps_free := help tour sizes clean arm-programs arm-run arm-run-max arm-run-neoverse-n1 arm-run-cortex-a72
dry_run   := $(findstring n,$(filter-out --%,$(firstword $(MAKEFLAGS))))

ifneq ($(filter-out $(deps_free),$(goals)),)
ifeq ($(dry_run),)
deps_progs := $(deps_run) $(if $(filter check check-%,$(goals)),$(deps_check))
deps_more  := $(if $(filter check check-%,$(goals)),$(deps_wish))
deps_stamp := build/deps-$(shell printf '%s' '$(CC) $(deps_build) $(deps_progs) $(deps_more)' | cksum | cut -d' ' -f1)
ifeq ($(wildcard $(deps_stamp)),)
# what is missing, one package a word; stdlib.h of another libc or an empty /usr/include counts as missing
define deps_probe
for d in $(deps_build); do printf '#include <stddef.h>\n#include <stdio.h>\n#include <%s>\n' "$${d%%:*}" | \
  $(CC) -E -x c - >/dev/null 2>&1 || echo "$${d##*:}"; done; \
for d in $(1); do PATH=/usr/bin:/bin:/usr/sbin:/sbin command -v "$${d%%:*}" >/dev/null 2>&1 || echo "$${d##*:}"; done
endef
deps_missing := $(sort $(shell $(call deps_probe,$(deps_progs))))
deps_wanted  := $(sort $(shell $(call deps_probe,$(deps_progs) $(deps_more))))
ifneq ($(deps_wanted),)
deps_line := apt-get install -y --no-install-recommends $(deps_wanted)
ifeq ($(DEPS)$(shell [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo root),root)
$(info installing what is missing: $(deps_line))
deps_log := $(shell mkdir -p build; export DEBIAN_FRONTEND=noninteractive; \
  { apt-get update -qq; $(deps_line); } >build/deps.log 2>&1 || tail -n 3 build/deps.log)
deps_missing := $(sort $(shell $(call deps_probe,$(deps_progs))))
deps_wanted  := $(sort $(shell $(call deps_probe,$(deps_progs) $(deps_more))))
endif
endif
ifneq ($(deps_missing),)
$(info $(deps_log))
$(error missing packages; as root: apt-get install -y --no-install-recommends $(deps_missing))
endif
ifneq ($(deps_wanted),)
$(info tests will skip what needs: $(deps_wanted))
endif
$(shell mkdir -p build; touch $(deps_stamp))
endif
endif
endif
