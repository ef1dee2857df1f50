#!/usr/bin/env bats
# apr2gguf - .apr in, GGUF out: llama.cpp's names, keys and bytes, and the way back
bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    # A reader of GGUF that shares nothing with ours: read(FILE) = keys {name: (type, value)}, tensors {name: (ne, type, bytes)}
    cat >gguf.py <<'E2'
import math, struct, sys
NUM = {0: 'B', 1: 'b', 2: 'H', 3: 'h', 4: 'I', 5: 'i', 6: 'f', 7: '?', 10: 'Q', 11: 'q', 12: 'd'}
BLOCK = {0: (1, 4), 1: (1, 2), 30: (1, 2), 2: (32, 18), 6: (32, 22), 8: (32, 34), 12: (256, 144), 13: (256, 176), 14: (256, 210)}
def read(path):
    b, at = open(path, 'rb').read(), 8
    assert b[:8] == b'GGUF\3\0\0\0'
    def num(f):
        nonlocal at
        at += struct.calcsize('<' + f)
        return struct.unpack_from('<' + f, b, at - struct.calcsize('<' + f))[0]
    def text():
        nonlocal at
        n = num('Q')
        at += n
        return b[at - n:at]
    def value(t):
        if t == 9:
            e, n = num('I'), num('Q')
            return e, [value(e) for _ in range(n)]
        return text() if t == 8 else num(NUM[t])
    n_tensor, n_kv, kv, info = num('Q'), num('Q'), {}, []
    for _ in range(n_kv):
        k, t = text().decode(), num('I')
        assert k not in kv
        kv[k] = t, value(t)
    for _ in range(n_tensor):
        info.append((text().decode(), [num('Q') for _ in range(num('I'))], num('I'), num('Q')))
    base, end, out = (at + 31) // 32 * 32, 0, {}
    for name, ne, t, off in info:
        n = math.prod(ne) // BLOCK[t][0] * BLOCK[t][1]
        assert off == end, 'each tensor where the one before ends, on 32 bytes'
        end = (off + n + 31) // 32 * 32
        out[name] = ne, t, b[base + off:base + off + n]
    assert base + end == len(b)
    return kv, out
E2
    "$APR_BIN/gguf2apr" "$TOP/data/models/tiny-coder-29m-Q8_0.gguf" -o tiny.apr
    "$APR_BIN/gguf2apr" "$TOP/tests/vectors/tiny.gguf" -o m.apr
    "$APR_BIN/st2apr" "$TOP/tests/vectors/tiny-hf" -o bf16.apr
}

setup() {
    mkdir "$BATS_TEST_TMPDIR/w"
    cd "$BATS_TEST_TMPDIR/w"
    f="$BATS_FILE_TMPDIR"
    x="$APR_BIN/apr2gguf"
    export PYTHONPATH="$f" PYTHONDONTWRITEBYTECODE=1
}

# metadata of an .apr file as JSON
meta() {
    local n
    n=$(od -An -tu4 -j20 -N4 "$1" | tr -d ' ')
    tail -c +65 "$1" | head -c "$n"
}

# the same hyper-parameters, tokenizer, template and tensors (by their hashes) in two .apr files
same_apr() {
    diff <(meta "$1" | jq -S 'del(.provenance, .source, .original_format, .receipt)') \
        <(meta "$2" | jq -S 'del(.provenance, .source, .original_format, .receipt)')
}

# the hyper-parameters alone; stop ids as a set
same_hparams() {
    local k='[.architecture, .hidden_size, .num_layers, .num_heads, .num_kv_heads, .head_dim, .intermediate_size, .vocab_size,
        .max_position_embeddings, .rope_theta, .rope_scaling, .rms_norm_eps, .tie_word_embeddings, .attention_bias, .qk_norm,
        (.stop_token_ids | sort), .bos_token_id, .pad_token_id, .add_bos_token]'
    diff <(meta "$1" | jq "$k") <(meta "$2" | jq "$k")
}

@test "the built-in model comes back as llama.cpp wrote it: each tensor's bytes, each key" {
    run --separate-stderr -0 "$x" "$f/tiny.apr" -o b.gguf
    [ -z "$output$stderr" ]
    [ "$(jq -r .sha256 b.gguf.meta.json)" = "$(sha256sum <b.gguf | cut -d' ' -f1)" ]
    python3 - "$TOP/data/models/tiny-coder-29m-Q8_0.gguf" b.gguf <<'E2'
from gguf import *
(k, t), (kb, tb) = read(sys.argv[1]), read(sys.argv[2])
assert t == tb and len(t) == 98, 'tensors'
assert len(k) > 20 and {n: kb.get(n) for n in k} == k, [n for n in k if kb.get(n) != k[n]]
assert set(kb) - set(k) == {'qwen2.vocab_size'}, set(kb) - set(k)
E2
    "$APR_BIN/gguf2apr" b.gguf -o c.apr
    same_apr "$f/tiny.apr" c.apr
    "$x" c.apr -o d.gguf
    cmp b.gguf d.gguf
}

@test "split files: keys, tensors and names as gguf-split has them, and the way back" {
    "$x" "$f/m.apr" -o w.gguf
    for o in "--split-max-tensors 5" "--split-max-size 10K" "--split-max-size 1G" "--split-max-size 1K --split-max-tensors 2"; do
        rm -f s-*
        run --separate-stderr -0 "$x" "$f/m.apr" -o s.gguf $o
        [ -z "$output$stderr" ]
        python3 - w.gguf "$o" s-*.gguf <<'E2'
from gguf import *
(k, t), o, files = read(sys.argv[1]), sys.argv[2].split(), sys.argv[3:]
n, all = len(files), []
for i, f in enumerate(files):
    assert f == 's-%05d-of-%05d.gguf' % (i + 1, n), f
    ki, ti = read(f)
    split = [('split.no', (2, i)), ('split.tensors.count', (5, len(t))), ('split.count', (2, n))]
    assert list(ki.items()) == (list(k.items()) if i == 0 else []) + split, f
    size = sum((len(b) + 31) // 32 * 32 for _, _, b in ti.values())
    assert ti and ('--split-max-tensors' not in o or len(ti) <= int(o[-1]))
    assert len(ti) == 1 or '--split-max-size' not in o or size <= {'10K': 10000, '1G': 10 ** 9, '1K': 1000}[o[1]]
    all += list(ti.items())
assert all == list(t.items()), 'tensors in their order'
E2
        for p in s-*.gguf; do
            [ "$(jq -r .sha256 "$p.meta.json")" = "$(sha256sum <"$p" | cut -d' ' -f1)" ]
        done
        "$APR_BIN/gguf2apr" s-00001-of-*.gguf -o b.apr
        same_apr "$f/m.apr" b.apr
    done
    "$x" "$f/m.apr" -o p --split-max-tensors 20
    [ "$(ls p-*gguf | paste -sd' ')" = "p-00001-of-00002.gguf p-00002-of-00002.gguf" ]
    # one that cannot be finished does not look whole
    rm p-00002-of-00002.gguf* && mkdir p-00002-of-00002.gguf
    run -73 "$x" "$f/m.apr" -o p.gguf --split-max-tensors 20
    [ ! -e p-00001-of-00002.gguf ]
    for s in 0 x 5X 5MB -1 "" 99999999999G; do
        run -64 "$x" "$f/m.apr" -o p.gguf --split-max-size "$s"
    done
    run -64 "$x" "$f/m.apr" -o - --split-max-tensors 2
}

@test "standard input and output" {
    "$x" "$f/m.apr" -o a.gguf
    "$x" - -o - <"$f/m.apr" | cmp - a.gguf
    cat "$f/m.apr" | "$x" - -o b.gguf
    cmp a.gguf b.gguf
    [ "$(ls)" = $'a.gguf\na.gguf.meta.json\nb.gguf\nb.gguf.meta.json' ]
}

@test "BF16 from a folder: matrices keep their bytes, vectors become F32, rows without a token [PADn]" {
    "$x" "$f/bf16.apr" -o b.gguf
    python3 - "$TOP/tests/vectors/tiny-hf/model.safetensors" b.gguf <<'E2'
from gguf import *
import json
b = open(sys.argv[1], 'rb').read()
n = struct.unpack('<Q', b[:8])[0]
h = json.loads(b[8:8 + n])
h.pop('__metadata__', 0)
st = {k: (v['shape'], b[8 + n + v['data_offsets'][0]:8 + n + v['data_offsets'][1]]) for k, v in h.items()}
k, t = read(sys.argv[2])
assert len(t) == len(st)
for ours, theirs in (('token_embd.weight', 'model.embed_tokens.weight'), ('blk.1.attn_q.weight', 'model.layers.1.self_attn.q_proj.weight'),
                     ('blk.0.ffn_down.weight', 'model.layers.0.mlp.down_proj.weight')):
    assert t[ours] == (st[theirs][0][::-1], 30, st[theirs][1]), ours
for ours, theirs in (('output_norm.weight', 'model.norm.weight'), ('blk.1.attn_k.bias', 'model.layers.1.self_attn.k_proj.bias')):
    x = st[theirs][1]
    assert t[ours][:2] == (st[theirs][0], 0) and t[ours][2] == b''.join(b'\0\0' + x[i:i + 2] for i in range(0, len(x), 2)), ours
tokens, types = k['tokenizer.ggml.tokens'][1][1], k['tokenizer.ggml.token_type'][1]
assert len(tokens) == len(types[1]) == 288 and types[0] == 5
assert tokens[275:] == [b'[PAD%d]' % i for i in range(275, 288)] and types[1][275:] == [5] * 13
assert tokens[272:275] == [b'<|endoftext|>', b'<|im_start|>', b'<|im_end|>'] and types[1][272:275] == [3] * 3
assert 5 not in types[1][:275] and tokens[256] == b'er' and k['tokenizer.ggml.merges'][1][1][1] == '\u0120 t'.encode()
assert k['general.file_type'] == (4, 32) and k['tokenizer.ggml.eos_token_id'] == (4, 274) and k['general.type'] == (8, b'model')
assert (k['tokenizer.ggml.model'], k['tokenizer.ggml.pre']) == ((8, b'gpt2'), (8, b'qwen2'))
E2
    "$APR_BIN/gguf2apr" b.gguf -o c.apr
    "$x" c.apr -o d.gguf
    "$APR_BIN/gguf2apr" d.gguf -o e.apr
    same_apr c.apr e.apr
    jq -r .text "$TOP/tests/vectors/tokenizer/torture.jsonl" >torture
    cmp <("$APR_BIN/apr-tok" "$f/bf16.apr" torture) <("$APR_BIN/apr-tok" c.apr torture)
    cmp <("$APR_BIN/apr-tok" -s "$f/bf16.apr" torture) <("$APR_BIN/apr-tok" -s c.apr torture)
}

@test "golden cases in BF16 and F32: tensors, shapes and hyper-parameters of each" {
    [ -e "$APR_SHARED/golden/golden.tar.xz" ] || skip "no $APR_SHARED/golden"
    tar -xf "$APR_SHARED/golden/golden.tar.xz" golden/{qwen2-tied,qwen2-untied,qwen3-headdim}/{model.safetensors,{,generation_}config.json}
    for c in qwen2-tied qwen2-untied qwen3-headdim; do
        g="golden/$c"
        for t in bf16 f32; do
            "$APR_BIN/st2apr" "$g" --no-tokenizer --type "$t" -o "$c-$t.apr"
            run --separate-stderr -0 "$x" "$c-$t.apr" -o b.gguf
            [[ "$stderr" == "apr2gguf: $c-$t.apr: no tokenizer: "* ]]
            "$APR_BIN/gguf2apr" b.gguf -o back.apr
            same_hparams "$c-$t.apr" back.apr
            python3 - "$g" b.gguf "$t" <<'E2'
from gguf import *
import json
c = json.load(open(sys.argv[1] + '/config.json'))
k, t = read(sys.argv[2])
a = c['model_type']
want = {'block_count': c['num_hidden_layers'], 'context_length': c['max_position_embeddings'], 'embedding_length': c['hidden_size'],
        'feed_forward_length': c['intermediate_size'], 'attention.head_count': c['num_attention_heads'],
        'attention.head_count_kv': c['num_key_value_heads'], 'vocab_size': c['vocab_size']}
if a == 'qwen3':
    want |= {'attention.key_length': c['head_dim'], 'attention.value_length': c['head_dim']}
assert {n: k[a + '.' + n] for n in want} == {n: (4, v) for n, v in want.items()}
assert a == 'qwen3' or a + '.attention.key_length' not in k
theta = (c.get('rope_parameters') or c)['rope_theta']
assert k[a + '.rope.freq_base'] == (6, theta) and abs(k[a + '.attention.layer_norm_rms_epsilon'][1] / c['rms_norm_eps'] - 1) < 1e-6
assert k['general.file_type'][1] == {'f32': 0, 'bf16': 32}[sys.argv[3]]
b = open(sys.argv[1] + '/model.safetensors', 'rb').read()
n = struct.unpack('<Q', b[:8])[0]
h = json.loads(b[8:8 + n])
h.pop('__metadata__', 0)
assert len(t) == len(h) - (c['tie_word_embeddings'] and 'lm_head.weight' in h)
assert ('output.weight' in t) == (not c['tie_word_embeddings'])
names = {'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v', 'self_attn.o_proj': 'attn_output',
         'self_attn.q_norm': 'attn_q_norm', 'self_attn.k_norm': 'attn_k_norm', 'input_layernorm': 'attn_norm',
         'post_attention_layernorm': 'ffn_norm', 'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down',
         'model.embed_tokens': 'token_embd', 'model.norm': 'output_norm', 'lm_head': 'output', 'model.layers': 'blk'}
for name, v in h.items():
    ours = name
    for x, y in names.items():
        ours = ours.replace(x + '.', y + '.')
    data = b[8 + n + v['data_offsets'][0]:8 + n + v['data_offsets'][1]]
    ne, typ, got = t[ours]
    if typ == 0:
        data = b''.join(b'\0\0' + data[i:i + 2] for i in range(0, len(data), 2))
    assert ne == v['shape'][::-1] and got == data and typ == (0 if len(ne) == 1 or sys.argv[3] == 'f32' else 30), ours
E2
        done
    done
}

@test "llama from a folder: q and k change their rows, the divisors are written; from GGUF nothing moves" {
    python3 "$TOP/tests/vectors/mk_random.py" hf llama "$TOP/tests/vectors/tokenizer/llama3.json" 128256 BF16 bos_token_id=128000 \
        'eos_token_id=[128001,128008,128009]' 'rope_scaling={"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64}'
    "$APR_BIN/st2apr" hf -o a.apr
    run --separate-stderr -0 "$x" a.apr -o b.gguf
    [ -z "$stderr" ]
    python3 - hf/model.safetensors b.gguf <<'E2'
from gguf import *
import json
b = open(sys.argv[1], 'rb').read()
n = struct.unpack('<Q', b[:8])[0]
h = json.loads(b[8:8 + n])
k, t = read(sys.argv[2])
def st(name):
    return b[8 + n + h[name]['data_offsets'][0]:8 + n + h[name]['data_offsets'][1]]
for what, heads in (('q', 4), ('k', 2)): # (heads, 2, hd/2) to (heads, hd/2, 2)
    for layer in 0, 1:
        x = st('model.layers.%d.self_attn.%s_proj.weight' % (layer, what))
        rows = [x[32 * i:32 * i + 32] for i in range(8 * heads)]
        want = b''.join(rows[8 * head + 4 * j + i] for head in range(heads) for i in range(4) for j in (0, 1))
        assert t['blk.%d.attn_%s.weight' % (layer, what)][2] == want != x
assert t['blk.0.attn_v.weight'][2] == st('model.layers.0.self_attn.v_proj.weight')
ne, typ, d = t['rope_freqs.weight']
assert ne == [4] and typ == 0
for i, d in enumerate(struct.unpack('<4f', d)):
    wave, orig, factor, low, high = 2 * math.pi * 10000 ** (2 * i / 8), 64, 8, 1, 4
    s = (orig / wave - low) / (high - low)
    want = 1 if wave < orig / high else factor if wave > orig / low else 1 / ((1 - s) / factor + s)
    assert abs(d / want - 1) < 1e-6, (i, d, want)
assert k['llama.rope.dimension_count'] == (4, 8) and k['tokenizer.ggml.pre'] == (8, b'llama-bpe')
assert k['tokenizer.ggml.add_bos_token'] == (7, True) and k['tokenizer.ggml.bos_token_id'] == (4, 128000)
assert k['tokenizer.ggml.eos_token_id'] == (4, 128001) and k['llama.attention.key_length'] == (4, 8)
E2
    "$APR_BIN/gguf2apr" b.gguf -o c.apr
    [ "$(meta c.apr | jq -c '[.rope_type, .rope_scaling, (.stop_token_ids | sort), .add_bos_token]')" = \
        '[0,{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64},[128001,128008,128009],true]' ]
    same_hparams a.apr c.apr
    "$x" c.apr -o d.gguf
    cmp b.gguf d.gguf
    # two orders of the same sums; with rows that had not moved the figures would differ by 5e-5
    head -c 700 "$TOP/lib/cli.c" >text
    for m in a c; do "$APR_BIN/apr-ppl" "$m.apr" text --ctx 64 --json -o "$m.json"; done
    jq -e --slurpfile c c.json '.scored > 200 and (.ppl / $c[0].ppl - 1 | fabs) < 1e-7' a.json
    cmp <("$APR_BIN/apr-tok" --bos a.apr text) <("$APR_BIN/apr-tok" --bos c.apr text)
    # rows of blocks are moved whole: quantizing and exporting may change places
    python3 "$TOP/tests/vectors/mk_random.py" hf32 llama - 300 F32 hidden_size=32
    "$APR_BIN/st2apr" hf32 --no-tokenizer -o f.apr
    "$APR_BIN/apr-quant" f.apr --type q8_0 -o q.apr
    "$x" -q q.apr -o q.gguf
    "$x" -q f.apr -o f.gguf
    python3 - <<'E2'
from gguf import *
(_, q), (_, f) = read('q.gguf'), read('f.gguf')
for name in 'blk.0.attn_q.weight', 'blk.1.attn_k.weight':
    assert q[name][1] == 8 and f[name][1] == 0
    for r in range(q[name][0][1]):
        d, = struct.unpack('<e', q[name][2][34 * r:34 * r + 2])
        for a, b in zip(struct.unpack('<32b', q[name][2][34 * r + 2:34 * r + 34]), struct.unpack('<32f', f[name][2][128 * r:128 * r + 128])):
            assert abs(d * a - b) <= d * 0.6 # the scale is rounded too
E2
}

@test "qwen3: heads wider than the model; linear RoPE scaling" {
    python3 "$TOP/tests/vectors/mk_random.py" hf qwen3 "$TOP/tests/vectors/tokenizer/qwen3.json" 151936 BF16 eos_token_id=151645 tie_word_embeddings=true \
        'rope_scaling={"type":"linear","factor":2.5}'
    "$APR_BIN/st2apr" hf -o a.apr
    "$x" a.apr -o b.gguf
    python3 - <<'E2'
from gguf import *
k, t = read('b.gguf')
assert k['qwen3.attention.key_length'] == k['qwen3.attention.value_length'] == (4, 8)
assert k['qwen3.rope.scaling.type'] == (8, b'linear') and k['qwen3.rope.scaling.factor'] == (6, 2.5)
assert 'rope_freqs.weight' not in t and 'output.weight' not in t and t['blk.0.attn_q_norm.weight'][:2] == ([8], 0)
types = k['tokenizer.ggml.token_type'][1][1]
assert len(types) == 151936 and types[151645] == 3 and types[151668] == 4 and types[151900] == 5 and types[9707] == 1
E2
    "$APR_BIN/gguf2apr" b.gguf -o c.apr
    head -c 500 "$TOP/lib/err.h" >text
    for m in a c; do "$APR_BIN/apr-ppl" "$m.apr" text --ctx 64 --json -o "$m.json"; done
    [ "$(jq .ppl a.json)" = "$(jq .ppl c.json)" ]
    [ "$(meta c.apr | jq -c '[.rope_scaling, .stop_token_ids]')" = "$(meta a.apr | jq -c '[.rope_scaling, .stop_token_ids]')" ]
}

@test "q4_k_m: llama.cpp's own file of the same model, byte for byte" {
    d="$APR_SHARED/models/tiny-coder-29m"
    [ -e "$d" ] || skip "no $d"
    "$APR_BIN/st2apr" "$d/hf" -o a.apr
    "$APR_BIN/apr-quant" a.apr --type q4_k_m -o q.apr
    "$x" q.apr -o b.gguf
    python3 - "$d/tiny-coder-29m-Q4_K_M.gguf" b.gguf <<'E2'
from gguf import *
(k, t), (kb, tb) = read(sys.argv[1]), read(sys.argv[2])
assert t == tb, [n for n in t if tb.get(n) != t[n]]
differ = {n for n in k if kb.get(n) != k[n]}
assert differ <= {'general.name', 'general.license', 'tokenizer.ggml.bos_token_id'}, differ # the folder does not say these
E2
}

@test "an adapter fused into its base" {
    printf '{"instruction":"say %d","response":"yes"}\n' 1 2 3 4 >d.jsonl
    "$APR_BIN/apr-lora" -q "$f/m.apr" --data d.jsonl -o a --rank 4 --lr 0.05 --epochs 2
    "$APR_BIN/apr-fuse" "$f/m.apr" --adapter a -o fused.apr >/dev/null
    "$x" fused.apr -o b.gguf
    "$APR_BIN/gguf2apr" b.gguf -o c.apr
    same_apr fused.apr c.apr
    run ! cmp -s <(meta fused.apr | jq .tensor_xxh64) <(meta "$f/m.apr" | jq .tensor_xxh64)
}

@test "what GGUF cannot hold is named" {
    # aprender's Q4 has Q4_0's size: another type byte in the index and a footer that agrees
    "$APR_BIN/st2apr" "$TOP/tests/vectors/tiny-hf" --type f32 -o f32.apr
    "$APR_BIN/apr-quant" f32.apr --type q4_0 -o q4.apr
    python3 - <<'E2'
import zlib
b = bytearray(open('q4.apr', 'rb').read())
name = b'model.layers.1.mlp.up_proj.weight'
at = b.rindex(name) + len(name)
assert b[at] == 2
b[at] = 128
b[-4:] = zlib.crc32(b[:-4]).to_bytes(4, 'little')
open('own.apr', 'wb').write(b)
# a vocabulary entry outside the byte alphabet: its type is normal
b = open(__import__('os').environ['TOP'] + '/tests/vectors/tiny.gguf', 'rb').read().replace(b'[PAD276]', '日本ab'.encode())
key = b'tokenizer.ggml.token_type'
at = b.index(key) + len(key) + 16 + 4 * 276
assert b[at] == 5
open('odd.gguf', 'wb').write(b[:at] + b'\1' + b[at + 1:])
E2
    run --separate-stderr -65 "$x" own.apr -o b.gguf
    [[ "$stderr" == "apr2gguf: own.apr: tensor model.layers.1.mlp.up_proj.weight: type APR_Q4 is no type of weights"* ]]
    "$APR_BIN/gguf2apr" odd.gguf -o odd.apr
    run --separate-stderr -65 "$x" odd.apr -o b.gguf
    [[ "$stderr" == 'apr2gguf: odd.apr: token 276 "日本ab": not in the byte alphabet'* ]]
    [ ! -e b.gguf ]
}

@test "stop ids: what the keys and the usual end marks cannot say is refused" {
    stops() { # IDS: a copy with these, and the keys that come out
        python3 - "$f/m.apr" "$1" <<'E2'
import json, sys, zlib, struct
b = open(sys.argv[1], 'rb').read()
n, = struct.unpack('<I', b[20:24])
text = b[64:64 + n].replace(b'"stop_token_ids":[274,272]', b'"stop_token_ids":[' + sys.argv[2].encode() + b']', 1)
off, = struct.unpack('<Q', b[24:32])
assert len(text) <= off - 64
h = bytearray(b[:off])
h[64:] = text + bytes(off - 64 - len(text))
h[20:24] = struct.pack('<I', len(text))
h[40:44] = struct.pack('<I', zlib.crc32(bytes(h[:40] + h[44:64])))
b = bytes(h) + b[off:-4]
open('s.apr', 'wb').write(b + struct.pack('<I', zlib.crc32(b)))
E2
        run --separate-stderr "$x" s.apr -o s.gguf
    }
    stops 274,272,1,2
    [ "$status" = 0 ]
    "$APR_BIN/gguf2apr" s.gguf -o t.apr
    [ "$(meta t.apr | jq -c '.stop_token_ids | sort')" = '[1,2,272,274]' ]
    stops 274,1,2,3
    [ "$status" = 65 ]
    [[ "$stderr" == "apr2gguf: s.apr: stop_token_ids: 3: "* ]]
}

@test "damaged input: 65, and no output" {
    size=$(stat -c %s "$f/m.apr")
    for n in 0 10 100 $((size / 2)) $((size - 1)); do
        head -c "$n" "$f/m.apr" >cut.apr
        run --separate-stderr -65 "$x" cut.apr -o b.gguf
        [[ "$stderr" == "apr2gguf: cut.apr: "* ]] || { echo "$n: $stderr"; return 1; }
    done
    cp "$f/m.apr" flip.apr
    printf '\125' | dd of=flip.apr bs=1 seek=$((size - 3000)) conv=notrunc status=none
    run --separate-stderr -65 "$x" flip.apr -o b.gguf
    [[ "$stderr" == "apr2gguf: flip.apr: tensor "*": hash: expected "* ]]
    sed 's/"qwen2","model_type"/"gemma","model_type"/' "$f/m.apr" >arch.apr
    run --separate-stderr -65 "$x" arch.apr -o b.gguf
    run --separate-stderr -66 "$x" nowhere.apr -o b.gguf
    [ "$(ls)" = $'arch.apr\ncut.apr\nflip.apr' ]
}

@test "usage is 64; output that cannot be made 73, a full disk 74" {
    run -64 "$x"
    run -64 "$x" "$f/m.apr"
    run -64 "$x" "$f/m.apr" "$f/m.apr" -o b.gguf
    run --separate-stderr -73 "$x" "$f/m.apr" -o nowhere/b.gguf
    [[ "$stderr" == "apr2gguf: nowhere/b.gguf: "* ]]
    mkdir dir && run -73 "$x" "$f/m.apr" -o dir
    run -74 "$x" "$f/m.apr" -o /dev/full
    run -74 bash -c "'$x' '$f/m.apr' -o - >/dev/full"
    [ -c /dev/full ]
}

@test "killed in the middle: the old file stays, the next run cleans up" {
    echo old >b.gguf
    run -153 bash -c "ulimit -f 5000; exec '$x' '$f/tiny.apr' -o b.gguf" # SIGXFSZ when 5 of 31 MB are written
    [ "$(cat b.gguf)" = old ]
    [ "$(ls)" != b.gguf ]
    "$x" "$f/tiny.apr" -o b.gguf
    [ "$(ls)" = $'b.gguf\nb.gguf.meta.json' ]
}
