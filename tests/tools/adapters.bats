#!/usr/bin/env bats
# adapters - LoRA adapters between PEFT's folder and llama.cpp's GGUF: names, shapes, order of rows, scale, and the way back
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR"
    out="$APR_BIN/apr2gguf"
    in="$APR_BIN/gguf2apr"
    # tensors of a SafeTensors file {name: (dtype, shape, bytes)}, of a GGUF file {name: (ne, type, bytes)} with its keys
    cat >files.py <<'PY'
import json, math, struct, sys
def st(path):
    b = open(path, 'rb').read()
    n = struct.unpack('<Q', b[:8])[0]
    h = json.loads(b[8:8 + n])
    h.pop('__metadata__', None)
    return {k: (v['dtype'], v['shape'], b[8 + n + v['data_offsets'][0]:8 + n + v['data_offsets'][1]]) for k, v in h.items()}
def put_st(path, tensors):
    at, h, data = 0, {}, b''
    for k, (dtype, shape, b) in tensors.items():
        h[k] = {'dtype': dtype, 'shape': shape, 'data_offsets': [at, at + len(b)]}
        at += len(b)
        data += b
    t = json.dumps(h).encode()
    open(path, 'wb').write(struct.pack('<Q', len(t)) + t + data)
NUM = {4: 'I', 6: 'f', 7: '?'}
def gguf(path):
    b, at = open(path, 'rb').read(), 8
    def num(f):
        nonlocal at
        at += struct.calcsize('<' + f)
        return struct.unpack_from('<' + f, b, at - struct.calcsize('<' + f))[0]
    def text():
        nonlocal at
        n = num('Q')
        at += n
        return b[at - n:at].decode()
    nt, nk, kv, info, t = num('Q'), num('Q'), {}, [], {}
    for _ in range(nk):
        k, typ = text(), num('I')
        kv[k] = text() if typ == 8 else num(NUM[typ])
    for _ in range(nt):
        info.append((text(), [num('Q') for _ in range(num('I'))], num('I'), num('Q')))
    base = (at + 31) // 32 * 32
    for name, ne, typ, off in info:
        t[name] = ne, typ, b[base + off:base + off + math.prod(ne) * {0: 4, 1: 2, 30: 2}[typ]]
    return kv, t
def put_gguf(path, kv, t): # keys {name: text or float}, tensors {name: (ne, F32 bytes)}
    s = lambda x: struct.pack('<Q', len(x.encode())) + x.encode()
    b = b'GGUF\3\0\0\0' + struct.pack('<QQ', len(t), len(kv))
    for k, v in kv.items():
        b += s(k) + (struct.pack('<I', 8) + s(v) if isinstance(v, str) else struct.pack('<If', 6, v))
    off, data = 0, b''
    for k, (ne, d) in t.items():
        b += s(k) + struct.pack('<I', len(ne)) + b''.join(struct.pack('<Q', n) for n in ne) + struct.pack('<IQ', 0, off)
        d += bytes(-len(d) % 32)
        off += len(d)
        data += d
    open(path, 'wb').write(b + bytes(-len(b) % 32) + data)
PY
    export PYTHONPATH="$PWD" PYTHONDONTWRITEBYTECODE=1
}

# metadata of an .apr file as JSON
meta() {
    local n
    n=$(od -An -tu4 -j20 -N4 "$1" | tr -d ' ')
    tail -c +65 "$1" | head -c "$n"
}
# a folder p: rank 2 adapters of so-called modules, DTYPE, of a llama of mk_random.py's shape
adapter() { # DTYPE [key=value of the configuration]...
    python3 - "$@" <<'PY'
from files import *
import os, random
r, t, size = random.Random(3), {}, {'F32': 4, 'F16': 2, 'BF16': 2}[sys.argv[1]]
for l in range(2):
    for m, n_out, n_in in (('self_attn.q_proj', 32, 16), ('self_attn.k_proj', 16, 16), ('self_attn.o_proj', 16, 32), ('mlp.down_proj', 16, 32)):
        for ab, rows, cols in (('A', 2, n_in), ('B', n_out, 2)):
            v = [r.uniform(-1, 1) for _ in range(rows * cols)]
            b = struct.pack('<%df' % len(v), *v) if size == 4 else struct.pack('<%de' % len(v), *v) if sys.argv[1] == 'F16' else \
                b''.join(struct.pack('<f', x)[2:] for x in v)
            t['base_model.model.model.layers.%d.%s.lora_%s.weight' % (l, m, ab)] = sys.argv[1], [rows, cols], b
c = {'peft_type': 'LORA', 'r': 2, 'lora_alpha': 3, 'bias': 'none', 'target_modules': ['q_proj', 'k_proj', 'o_proj', 'down_proj'], 'task_type': 'CAUSAL_LM'}
c.update((k, json.loads(v)) for k, v in (a.split('=', 1) for a in sys.argv[2:]))
os.makedirs('p', exist_ok=True)
json.dump(c, open('p/adapter_config.json', 'w'), indent=2)
put_st('p/adapter_model.safetensors', t)
PY
}
llama() {
    python3 "$TOP/tests/vectors/mk_random.py" hf llama - 64 F32
    "$APR_BIN/st2apr" --no-tokenizer hf -o m.apr
}

@test "a trained adapter: to GGUF and back, byte for byte, with or without rslora" {
    "$in" "$TOP/tests/vectors/tiny.gguf" -o m.apr
    printf '{"instruction":"say %d","response":"yes"}\n' 1 2 3 4 >d.jsonl
    for flag in "" --rslora; do
        "$APR_BIN/apr-lora" -q m.apr --data d.jsonl -o a --rank 3 --lr 0.05 --epochs 2 $flag
        run --separate-stderr -0 "$out" m.apr --adapter a -o a.gguf
        [[ "$output" == "a.gguf: 14 modules, rank 3, scale "* ]]
        [ "$(jq -r .sha256 a.gguf.meta.json)" = "$(sha256sum <a.gguf | cut -d' ' -f1)" ]
        "$in" a.gguf --base m.apr -o b >/dev/null
        diff -r a b
        "$out" m.apr --adapter b -o b.gguf >/dev/null
        cmp a.gguf b.gguf
        # llama.cpp multiplies by alpha / rank
        python3 - $flag <<'PY'
from files import *
k, t = gguf('a.gguf')
assert k['general.type'] == 'adapter' and k['adapter.type'] == 'lora' and k['general.architecture'] == 'qwen2', k
assert abs(k['adapter.lora.alpha'] / (32 * 3 ** .5 if sys.argv[1:] else 32) - 1) < 1e-7, k['adapter.lora.alpha']
s = st('a/adapter_model.safetensors')
assert len(t) == len(s) == 28
for l in 0, 1:
    for hf, g in (('self_attn.q_proj', 'attn_q'), ('self_attn.k_proj', 'attn_k'), ('self_attn.v_proj', 'attn_v'), ('self_attn.o_proj', 'attn_output'),
                  ('mlp.gate_proj', 'ffn_gate'), ('mlp.up_proj', 'ffn_up'), ('mlp.down_proj', 'ffn_down')):
        for x in 'ab':
            _, shape, b = s['base_model.model.model.layers.%d.%s.lora_%s.weight' % (l, hf, x.upper())]
            assert t['blk.%d.%s.weight.lora_%s' % (l, g, x)] == (shape[::-1], 0, b)
PY
        rm -r a b
    done
}

@test "llama: rows of q and k move in lora_b as the base's do; any float type" {
    llama
    for t in F32 F16 BF16; do
        adapter $t
        "$out" m.apr --adapter p -o a.gguf >/dev/null
        python3 - $t <<'PY'
from files import *
k, t = gguf('a.gguf')
s = st('p/adapter_model.safetensors')
row = 2 * {'F32': 4, 'F16': 2, 'BF16': 2}[sys.argv[1]]
assert k['general.architecture'] == 'llama' and k['adapter.lora.alpha'] == 3
for hf, g, heads in (('q', 'q', 4), ('k', 'k', 2)): # (heads, 2, hd/2) to (heads, hd/2, 2)
    b = s['base_model.model.model.layers.1.self_attn.%s_proj.lora_B.weight' % hf][2]
    rows = [b[row * i:row * i + row] for i in range(8 * heads)]
    want = b''.join(rows[8 * h + 4 * j + i] for h in range(heads) for i in range(4) for j in (0, 1))
    assert t['blk.1.attn_%s.weight.lora_b' % g] == ([2, 8 * heads], {'F32': 0, 'F16': 1, 'BF16': 30}[sys.argv[1]], want) and want != b
    assert t['blk.1.attn_%s.weight.lora_a' % g][2] == s['base_model.model.model.layers.1.self_attn.%s_proj.lora_A.weight' % hf][2]
assert t['blk.1.attn_output.weight.lora_b'][2] == s['base_model.model.model.layers.1.self_attn.o_proj.lora_B.weight'][2]
PY
        "$in" a.gguf --base m.apr -o b >/dev/null
        python3 -c 'from files import *; assert st("p/adapter_model.safetensors") == st("b/adapter_model.safetensors")'
        cmp p/adapter_config.json b/adapter_config.json
    done
}

@test "the same model whether the adapter or the fused model goes through GGUF" {
    llama
    adapter F32 use_rslora=true
    "$APR_BIN/apr-fuse" m.apr --adapter p -o f.apr >/dev/null
    "$out" f.apr -o f.gguf 2>/dev/null
    "$in" f.gguf -o f2.apr
    "$out" m.apr -o m.gguf 2>/dev/null
    "$in" m.gguf -o m2.apr # rows in GGUF's order
    [ "$(meta m2.apr | jq .rope_type)" = 0 ]
    "$out" m.apr --adapter p -o a.gguf >/dev/null
    "$in" a.gguf --base m2.apr -o p2 >/dev/null
    "$APR_BIN/apr-fuse" m2.apr --adapter p2 -o g.apr >/dev/null
    diff <(meta f2.apr | jq -S .tensor_xxh64) <(meta g.apr | jq -S .tensor_xxh64)
    run ! cmp -s <(meta m2.apr | jq -S .tensor_xxh64) <(meta g.apr | jq -S .tensor_xxh64)
}

@test "a file of others: no configuration of ours, alpha 0; what it may not hold is named, and nothing is written" {
    llama
    cat >mk.py <<'PY'
from files import *
kv = {'general.architecture': 'llama', 'general.type': 'adapter', 'adapter.type': 'lora', 'adapter.lora.alpha': 5.5}
t = {'blk.0.ffn_down.weight.lora_a': ([32, 2], bytes(256)), 'blk.0.ffn_down.weight.lora_b': ([2, 16], b'\0\0\x80\x3f' * 32)}
exec(sys.argv[1])
put_gguf('o.gguf', kv, t)
PY
    python3 mk.py ''
    "$in" o.gguf --base m.apr -o d >/dev/null
    [ "$(jq -c '[.r,.lora_alpha,.use_rslora,.target_modules,.base_model_name_or_path]' d/adapter_config.json)" = '[2,5.5,false,["down_proj"],"m.apr"]' ]
    python3 mk.py 'kv["adapter.lora.alpha"] = 0.0'
    [[ "$("$in" o.gguf --base m.apr -o d)" == "d: 1 modules, rank 2, scale 1" ]]
    # a configuration that says another scale than the file does is not taken
    python3 mk.py 'kv["adapter.peft_config"] = json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 7})'
    "$in" o.gguf --base m.apr -o d >/dev/null
    [ "$(jq .lora_alpha d/adapter_config.json)" = 5.5 ]
    sum=$(cat d/* | sha256sum)
    bad() { # CHANGE MESSAGE
        python3 mk.py "$1"
        run --separate-stderr -65 "$in" o.gguf --base m.apr -o d
        [[ "$stderr" == *"$2"* ]] || { echo "$1: $stderr"; return 1; }
        [ "$(cat d/* | sha256sum)" = "$sum" ] && [ -z "$(ls | grep tmp)" ]
    }
    bad 'kv["general.type"] = "model"' general.type
    bad 'kv["adapter.type"] = "dora"' adapter.type
    bad 'kv["general.architecture"] = "qwen2"' "expected llama"
    bad 'kv["adapter.lora.alpha"] = float("inf")' alpha
    bad 'kv["adapter.lora.alpha"] = "5"' alpha
    bad 'kv["adapter.alora.invocation_tokens"] = "1"' invocation_tokens
    bad 'del t["blk.0.ffn_down.weight.lora_b"]' "other half"
    bad 't["blk.0.ffn_norm.weight"] = ([16], bytes(64))' blk.0.ffn_norm.weight
    bad 't["blk.9.ffn_down.weight.lora_a"] = t["blk.0.ffn_down.weight.lora_a"]' blk.9
    bad 't["blk.0.ffn_down.weight.lora_a"] = ([16, 4], bytes(256))' "shape (4, 16)"
    bad 't["blk.0.ffn_down.weight.lora_b"] = ([4, 16], bytes(256))' "rank 4"
    bad 't["blk.0.ffn_down.weight.lora_a"] = ([32, 2], b"\0\0\x80\x7f" * 64)' "not finite"
    bad 't.clear()' "no adapter"
    head -c 300 o.gguf >cut.gguf
    run -65 "$in" cut.gguf --base m.apr -o d
    run --separate-stderr -65 "$in" o.gguf -o x.apr
    [[ "$stderr" == *"--base"* ]]
}

@test "keys of an adapter that change results, other than by its tensors, are refused by name" {
    llama
    for kv in 'layer_replication=[[0,2],[1,2]]' 'alora_invocation_tokens=[5,6]' 'rank_pattern={"q_proj":4}' 'alpha_pattern={"q_proj":4}' \
        'modules_to_save=["lm_head"]' lora_bias=true 'trainable_token_indices=[1]' 'target_parameters=["experts.up"]' use_qalora=true \
        'arrow_config={"top_k":1}' 'init_lora_weights="pissa_niter_4"' 'init_lora_weights="olora"'; do
        adapter F32 "$kv"
        for tool in "$out m.apr --adapter p -o a.gguf" "$APR_BIN/apr-fuse m.apr --adapter p -o a.gguf"; do
            run --separate-stderr -65 $tool
            [[ "$stderr" == *"p/adapter_config.json: ${kv%%=*}"*"not supported" ]] || { echo "$kv: $stderr"; return 1; }
            [ ! -e a.gguf ]
        done
    done
    # as PEFT writes what is not used
    adapter F32 layer_replication=null alora_invocation_tokens=null 'rank_pattern={}' lora_bias=false init_lora_weights=true \
        trainable_token_indices=null target_parameters=null use_qalora=false arrow_config=null
    "$out" m.apr --adapter p -o a.gguf
}

@test "an adapter that does not say lora_alpha has PEFT's, 8" {
    llama
    adapter F32
    jq 'del(.lora_alpha)' p/adapter_config.json >c && mv c p/adapter_config.json
    run -0 "$out" m.apr --adapter p -o a.gguf
    [ "$output" = "a.gguf: 8 modules, rank 2, scale 4" ]
}

@test "what GGUF has in one tensor with others, or cannot say, is refused; usage" {
    llama
    adapter F32
    run -64 "$out" m.apr --adapter p -o a.gguf --split-max-size 1M
    adapter F32 lora_alpha=0
    run --separate-stderr -65 "$out" m.apr --adapter p -o a.gguf
    [[ "$stderr" == *"lora_alpha is 0"* ]]
    adapter F32 use_dora=true
    run --separate-stderr -65 "$out" m.apr --adapter p -o a.gguf
    [[ "$stderr" == *use_dora* ]]
    run -66 "$out" m.apr --adapter nowhere -o a.gguf
    adapter F32
    "$APR_BIN/gguf2apr" "$TOP/tests/vectors/tiny.gguf" -o other.apr
    run --separate-stderr -65 "$out" other.apr --adapter p -o a.gguf
    [[ "$stderr" == *"self_attn"* ]]
    [ ! -e a.gguf ]
    run -73 "$out" m.apr --adapter p -o no/a.gguf
    run -74 "$out" m.apr --adapter p -o /dev/full
    "$out" m.apr --adapter p -o - | cmp - <("$out" m.apr --adapter p -o b.gguf >/dev/null && cat b.gguf)
    python3 - "$TOP/tests/vectors/arch/phi3-window/config.json" <<'PY'
from files import *
import os
c = json.load(open(sys.argv[1]))
c.update(hidden_size=16, intermediate_size=32, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=1, vocab_size=64)
c.pop('head_dim', None)
os.mkdir('phi')
json.dump(c, open('phi/config.json', 'w'))
one = lambda *n: ('F32', list(n), b'\0\0\x80\x3d' * math.prod(n))
t = {'model.embed_tokens.weight': one(64, 16), 'lm_head.weight': one(64, 16), 'model.norm.weight': one(16)}
p = 'model.layers.0.'
t |= {p + 'input_layernorm.weight': one(16), p + 'post_attention_layernorm.weight': one(16), p + 'self_attn.qkv_proj.weight': one(32, 16),
      p + 'self_attn.o_proj.weight': one(16, 16), p + 'mlp.gate_up_proj.weight': one(64, 16), p + 'mlp.down_proj.weight': one(16, 32)}
if c.get('tie_word_embeddings'):
    del t['lm_head.weight']
put_st('phi/model.safetensors', t)
for m, n in (('q', 16), ('o', 16)):
    os.makedirs(m, exist_ok=True)
    json.dump({'peft_type': 'LORA', 'r': 2, 'lora_alpha': 3}, open(m + '/adapter_config.json', 'w'))
    put_st(m + '/adapter_model.safetensors', {'base_model.model.%sself_attn.%s_proj.lora_%s.weight' % (p, m, x): one(*s) for x, s in (('A', (2, 16)), ('B', (n, 2)))})
PY
    "$APR_BIN/st2apr" --no-tokenizer phi -o phi.apr
    run --separate-stderr -65 "$out" phi.apr --adapter q -o a.gguf
    [[ "$stderr" == *"model.layers.0.self_attn.q_proj.weight: GGUF has it in one tensor with others (blk.0.attn_qkv.weight)"* ]]
    "$out" phi.apr --adapter o -o o.gguf >/dev/null
    [ "$("$out" m.apr --adapter p -o c.gguf)" = "c.gguf: 8 modules, rank 2, scale 1.5" ]
}
