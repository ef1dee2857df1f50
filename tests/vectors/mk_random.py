#!/usr/bin/env python3
"""mk_random.py DIR ARCH TOKENIZER|- ROWS F32|BF16 [key=value of config.json]...: a random model of two layers as a Hugging Face folder"""
import json, os, random, shutil, struct, sys
d, arch, tok, rows, dtype = sys.argv[1:6]
c = {'architectures': [arch.capitalize() + 'ForCausalLM'], 'model_type': arch, 'hidden_act': 'silu', 'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 2,
     'num_attention_heads': 4, 'num_key_value_heads': 2, 'head_dim': 8, 'max_position_embeddings': 128, 'rms_norm_eps': 1e-6,
     'rope_theta': 10000.0, 'tie_word_embeddings': False, 'vocab_size': int(rows)}
c.update((k, json.loads(v)) for k, v in (a.split('=', 1) for a in sys.argv[6:]))
os.mkdir(d)
json.dump(c, open(d + '/config.json', 'w'))
if tok != '-':
    shutil.copy(tok, d + '/tokenizer.json')
E, F, H, V = c['hidden_size'], c['intermediate_size'], c['head_dim'], c['vocab_size']
Q, K = H * c['num_attention_heads'], H * c['num_key_value_heads']
t = {'model.embed_tokens.weight': [V, E], 'model.norm.weight': [E]}
if not c['tie_word_embeddings']:
    t['lm_head.weight'] = [V, E]
for i in range(2):
    p = 'model.layers.%d.' % i
    t |= {p + 'input_layernorm.weight': [E], p + 'post_attention_layernorm.weight': [E], p + 'self_attn.q_proj.weight': [Q, E],
          p + 'self_attn.k_proj.weight': [K, E], p + 'self_attn.v_proj.weight': [K, E], p + 'self_attn.o_proj.weight': [E, Q],
          p + 'mlp.gate_proj.weight': [F, E], p + 'mlp.up_proj.weight': [F, E], p + 'mlp.down_proj.weight': [E, F]}
    if arch == 'qwen3':
        t |= {p + 'self_attn.q_norm.weight': [H], p + 'self_attn.k_norm.weight': [H]}
    if arch == 'qwen2':
        t |= {p + 'self_attn.q_proj.bias': [Q], p + 'self_attn.k_proj.bias': [K], p + 'self_attn.v_proj.bias': [K]}
r, head, data = random.Random(7), {}, bytearray()
exponent = bytes([0x3e, 0xbe, 0x3d, 0xbd][i % 4] for i in range(256)) # values of 0.03 to 0.5 of either sign
for name, shape in t.items():
    n = shape[0] * (shape[1] if len(shape) > 1 else 1)
    x = bytearray(2 * n)
    x[0::2], x[1::2] = r.randbytes(n), r.randbytes(n).translate(exponent)
    if dtype == 'F32':
        wide = bytearray(4 * n)
        wide[1::4], wide[2::4], wide[3::4] = r.randbytes(n), x[0::2], x[1::2]
        x = wide
    head[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [len(data), len(data) + len(x)]}
    data += x
h = json.dumps(head).encode()
h += b' ' * (-len(h) % 8)
open(d + '/model.safetensors', 'wb').write(struct.pack('<Q', len(h)) + h + data)
