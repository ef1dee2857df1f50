# every variable that a user may set; config.local.mk (ignored by git) overrides
-include config.local.mk

CC       := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))
AR       := $(if $(filter default undefined,$(origin AR)),ar,$(AR))
CFLAGS   ?= -O2 -g
CPPFLAGS ?=
LDFLAGS  ?=
PREFIX   ?= /usr/local
DESTDIR  ?=
VERSION  := 0.1.0
ARCH     := $(shell uname -m)

# -ffp-contract=off: equal bits on every path need every fma to be written (architecture.md, part 6)
STD  := -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-math-errno -pthread
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla $(if $(CI),-Werror)
LIBS := -lyaml -lcjson -lcrypto -lutf8proc -lseccomp -lcurl -lz -ldeflate -lm -lpthread
