#!/bin/bash
# build - the CUDA device for the host (cuda_runtime.h): OUT/lib/apr/cuda.so, for tests of its kernels without a card
#
#     tests/gpu/emulate/build.sh OUT
set -euo pipefail
top=$(cd "$(dirname "$0")/../../.." && pwd) out=$1
mkdir -p "$out/src" "$out/lib/apr"
for f in "$top"/kernels/cuda/*.cu; do
    o=$out/src/$(basename "$f" .cu)
    # launches become calls; a kernel's shared memory is what it was launched with
    perl -0pe 's/([a-z_0-9]+(?:<[\w, ]+>)?)\s*<<<(.*?)>>>\(/emu_launch($1, $2)(/gs;
        s/extern __shared__ (?:__align__\(\d+\) )?(\w+) (\w+)\[\];/$1 *$2 = ($1 *)emu_shared;/g' "$f" >"$o.cc"
    if [ ! -e "$o.o" ] || [ -n "$(find "$top/kernels" "$top/tests/gpu/emulate" \( -name '*.h' -o -name "$(basename "$f")" \) -newer "$o.o" | head -n 1)" ]; then
        echo "$o.cc"
    fi
done | xargs -r -P "$(nproc)" -I{} sh -c '${CXX:-g++} -std=c++20 -O1 -g -fPIC -ffp-contract=off -mfma -mf16c -w \
    -I"$0/tests/gpu/emulate" -I"$0/kernels" -c -o "$(echo {} | sed s/cc$/o/)" {}' "$top"
${CXX:-g++} -shared -o "$out/lib/apr/cuda.so" "$out"/src/*.o
