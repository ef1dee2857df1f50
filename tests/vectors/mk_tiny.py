#!/usr/bin/env python3
"""tiny: one small random model as a Hugging Face folder and as GGUF, written field by field (Python's struct)."""
import json, os, random, struct, sys
out = sys.argv[1]
V, E, L, H, KV, F, HD = 288, 32, 2, 2, 1, 64, 16
random.seed(1)
def bf16(n, s=0.1, m=0.0):
    return b''.join(struct.pack('<f', random.gauss(m, s))[2:] for _ in range(n))
T = {'model.embed_tokens.weight': (V, E), 'model.norm.weight': (E,)}
for l in range(L):
    p = f'model.layers.{l}.'
    T.update({p+'input_layernorm.weight': (E,), p+'post_attention_layernorm.weight': (E,),
      p+'self_attn.q_proj.weight': (H*HD, E), p+'self_attn.k_proj.weight': (KV*HD, E), p+'self_attn.v_proj.weight': (KV*HD, E),
      p+'self_attn.o_proj.weight': (E, H*HD), p+'self_attn.q_proj.bias': (H*HD,), p+'self_attn.k_proj.bias': (KV*HD,),
      p+'self_attn.v_proj.bias': (KV*HD,), p+'mlp.gate_proj.weight': (F, E), p+'mlp.up_proj.weight': (F, E), p+'mlp.down_proj.weight': (E, F)})
def count(s):
    n = 1
    for d in s: n *= d
    return n
D = {k: bf16(count(s), 0.1, 1.0 if 'norm' in k else 0.0) for k, s in T.items()}
# byte-level BPE: the 256 characters of the byte alphabet, a few merges, ChatML marks
keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
m, k = {}, 0
for b in range(256):
    if b in keep: m[b] = chr(b)
    else: m[b] = chr(256 + k); k += 1
vocab = [m[b] for b in range(256)]
merges = ['e r', 'Ġ t', 'h e', 'Ġt he', 'i n', 'Ġ a', 'r e', 'Ċ Ċ', 'd e', 'de f', 'Ġ Ġ', 'ĠĠ ĠĠ', 'o n', 'a t', 't i', 'ti on']
vocab += [x.replace(' ', '') for x in merges]
special = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
first = len(vocab)
template = "{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
os.makedirs(out + '/tiny-hf', exist_ok=True)
def dump(name, v):
    with open(f'{out}/tiny-hf/{name}', 'w') as f: json.dump(v, f, ensure_ascii=False, indent=1); f.write('\n')
dump('config.json', {'architectures': ['Qwen2ForCausalLM'], 'model_type': 'qwen2', 'hidden_act': 'silu', 'hidden_size': E, 'intermediate_size': F,
  'num_hidden_layers': L, 'num_attention_heads': H, 'num_key_value_heads': KV, 'max_position_embeddings': 128, 'rms_norm_eps': 1e-6,
  'rope_theta': 10000.0, 'tie_word_embeddings': True, 'vocab_size': V, 'eos_token_id': first + 2, 'use_sliding_window': False, 'torch_dtype': 'bfloat16'})
dump('generation_config.json', {'eos_token_id': [first + 2, first]})
dump('tokenizer_config.json', {'eos_token': '<|im_end|>', 'pad_token': '<|endoftext|>', 'chat_template': template})
split = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
dump('tokenizer.json', {'version': '1.0', 'truncation': None, 'padding': None,
  'added_tokens': [{'id': first + i, 'content': s, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': True} for i, s in enumerate(special)],
  'normalizer': {'type': 'NFC'},
  'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'Split', 'pattern': {'Regex': split}, 'behavior': 'Isolated', 'invert': False},
     {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': False, 'use_regex': False}]},
  'post_processor': None, 'decoder': {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': False, 'use_regex': False},
  'model': {'type': 'BPE', 'dropout': None, 'unk_token': None, 'continuing_subword_prefix': '', 'end_of_word_suffix': '', 'fuse_unk': False,
     'byte_fallback': False, 'ignore_merges': False, 'vocab': {t: i for i, t in enumerate(vocab)}, 'merges': merges}})
head, at = {'__metadata__': {'format': 'pt'}}, 0
for k in sorted(D):
    head[k] = {'dtype': 'BF16', 'shape': list(T[k]), 'data_offsets': [at, at + len(D[k])]}; at += len(D[k])
h = json.dumps(head, separators=(',', ':')).encode(); h += b' ' * (-len(h) % 8)
open(out + '/tiny-hf/model.safetensors', 'wb').write(struct.pack('<Q', len(h)) + h + b''.join(D[k] for k in sorted(D)))
# GGUF: matrices Q8_0 by the reference rule, the rest F32
def f32(raw): return [struct.unpack('<f', b'\0\0' + raw[i:i+2])[0] for i in range(0, len(raw), 2)]
def q8_0(x):
    r = b''
    for i in range(0, len(x), 32):
        b = x[i:i+32]; d = struct.unpack('<f', struct.pack('<f', max(abs(v) for v in b) / 127))[0]
        q = [int(v / d + (0.5 if v >= 0 else -0.5)) if d else 0 for v in b]
        r += struct.pack('<e', d) + struct.pack('<32b', *q)
    return r
N = [('model.embed_tokens', 'token_embd'), ('model.norm', 'output_norm'), ('model.layers.', 'blk.'), ('input_layernorm', 'attn_norm'), ('self_attn.q_proj', 'attn_q'),
  ('self_attn.k_proj', 'attn_k'), ('self_attn.v_proj', 'attn_v'), ('self_attn.o_proj', 'attn_output'), ('post_attention_layernorm', 'ffn_norm'),
  ('mlp.gate_proj', 'ffn_gate'), ('mlp.up_proj', 'ffn_up'), ('mlp.down_proj', 'ffn_down')]
def s(t): b = t.encode(); return struct.pack('<Q', len(b)) + b
def u32(k, v): return s(k) + struct.pack('<II', 4, v)
def st(k, v): return s(k) + struct.pack('<I', 8) + s(v)
def fl(k, v): return s(k) + struct.pack('<If', 6, v)
def arr(k, t, items): return s(k) + struct.pack('<IIQ', 9, t, len(items)) + b''.join(items)
toks = vocab + special + [f'[PAD{i}]' for i in range(first + 3, V)]
kinds = [1] * first + [3] * 3 + [5] * (V - first - 3)
kv = [st('general.architecture', 'qwen2'), st('general.name', 'tiny'), u32('qwen2.block_count', L), u32('qwen2.context_length', 128), u32('qwen2.embedding_length', E),
  u32('qwen2.feed_forward_length', F), u32('qwen2.attention.head_count', H), u32('qwen2.attention.head_count_kv', KV), fl('qwen2.rope.freq_base', 10000.0),
  fl('qwen2.attention.layer_norm_rms_epsilon', 1e-6), st('tokenizer.ggml.model', 'gpt2'), st('tokenizer.ggml.pre', 'qwen2'), arr('tokenizer.ggml.tokens', 8, [s(t) for t in toks]),
  arr('tokenizer.ggml.token_type', 5, [struct.pack('<i', k) for k in kinds]), arr('tokenizer.ggml.merges', 8, [s(x) for x in merges]),
  u32('tokenizer.ggml.eos_token_id', first + 2), u32('tokenizer.ggml.padding_token_id', first), st('tokenizer.chat_template', template), u32('general.file_type', 7)]
info, data = b'', b''
for k in sorted(D):
    n = k
    for a, b in N: n = n.replace(a, b)
    two = len(T[k]) == 2
    raw = q8_0(f32(D[k])) if two else struct.pack(f'<{count(T[k])}f', *f32(D[k]))
    info += s(n) + struct.pack('<I', len(T[k])) + b''.join(struct.pack('<Q', d) for d in reversed(T[k])) + struct.pack('<IQ', 8 if two else 0, len(data))
    data += raw + b'\0' * (-len(raw) % 32)
b = struct.pack('<4sIQQ', b'GGUF', 3, len(D), len(kv)) + b''.join(kv) + info
open(out + '/tiny.gguf', 'wb').write(b + b'\0' * (-len(b) % 32) + data)
