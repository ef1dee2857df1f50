# Debian packages that a target needs: found by a compile test, installed as root, else named in one line
# DEPS=no only prints what is missing; nothing is ever installed under -n
deps_build := yaml.h:libyaml-dev cjson/cJSON.h:libcjson-dev zlib.h:zlib1g-dev openssl/evp.h:libssl-dev \
              utf8proc.h:libutf8proc-dev seccomp.h:libseccomp-dev stdio.h:libc6-dev
deps_run   := python3-config:python3-dev flock:util-linux
deps_check := bats:bats parallel:parallel prove:perl groff:groff-base jq:jq xz:xz-utils gzip:gzip

goals     := $(or $(MAKECMDGOALS),all)
deps_free := help tour sizes clean
dry_run   := $(findstring n,$(filter-out --%,$(firstword $(MAKEFLAGS))))

ifneq ($(filter-out $(deps_free),$(goals)),)
ifeq ($(dry_run),)
deps_progs := $(deps_run) $(if $(filter check check-%,$(goals)),$(deps_check))
deps_stamp := build/deps-$(shell printf '%s' '$(CC) $(deps_build) $(deps_progs)' | cksum | cut -d' ' -f1)
ifeq ($(wildcard $(deps_stamp)),)
# what is missing, one package a word; stdlib.h of another libc or an empty /usr/include counts as missing
define deps_probe
for d in $(deps_build); do printf '#include <stddef.h>\n#include <stdio.h>\n#include <%s>\n' "$${d%%:*}" | \
  $(CC) -E -x c - >/dev/null 2>&1 || echo "$${d##*:}"; done; \
for d in $(deps_progs); do PATH=/usr/bin:/bin:/usr/sbin:/sbin command -v "$${d%%:*}" >/dev/null 2>&1 || echo "$${d##*:}"; done
endef
deps_missing := $(sort $(shell $(deps_probe)))
ifneq ($(deps_missing),)
deps_line := apt-get install -y --no-install-recommends $(deps_missing)
ifeq ($(DEPS)$(shell [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo root),root)
$(info installing what is missing: $(deps_line))
deps_log := $(shell mkdir -p build; export DEBIAN_FRONTEND=noninteractive; \
  { apt-get update -qq; $(deps_line); } >build/deps.log 2>&1 || tail -n 3 build/deps.log)
deps_missing := $(sort $(shell $(deps_probe)))
endif
endif
ifneq ($(deps_missing),)
$(info $(deps_log))
$(error missing packages; as root: apt-get install -y --no-install-recommends $(deps_missing))
endif
$(shell mkdir -p build; touch $(deps_stamp))
endif
endif
endif
