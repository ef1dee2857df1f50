# apr - a pipeline of small tools that finetune and evaluate code models; see README.md
MAKEFLAGS += --no-builtin-rules --no-builtin-variables
SHELL := /bin/bash
.SHELLFLAGS := -euc
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

include mk/config.mk
include mk/deps.mk
include mk/build.mk
include mk/cuda.mk
include mk/recipe.mk
include mk/test.mk
include mk/bench.mk
include mk/install.mk
include mk/help.mk
