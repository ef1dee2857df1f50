#!/usr/bin/env python3
"""qwen2-small, llama3-small: random models with Hugging Face's own logits. mk_small.py DIR; transformers 5.17.0, torch 2.11.0"""
import sys

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

torch.set_num_threads(4)
both = dict(vocab_size=256, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=0)
cases = {
    'qwen2-small': (Qwen2Config(max_position_embeddings=512, rope_parameters={'rope_type': 'default', 'rope_theta': 1e6},
                                rms_norm_eps=1e-6, tie_word_embeddings=True, **both), Qwen2ForCausalLM, 64),
    'llama3-small': (LlamaConfig(max_position_embeddings=1024,
                                 rope_parameters={'rope_type': 'llama3', 'rope_theta': 5e5, 'factor': 8.0, 'low_freq_factor': 1.0,
                                                  'high_freq_factor': 4.0, 'original_max_position_embeddings': 128},
                                 rms_norm_eps=1e-5, tie_word_embeddings=False, **both), LlamaForCausalLM, 160),
}
for seed, (name, (config, kind, n)) in enumerate(cases.items()):
    torch.manual_seed(7 + seed)
    model = kind(config)
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.copy_(1 + 0.1 * torch.randn_like(p) if 'norm' in key else torch.randn_like(p) * (0.2 if key.endswith('bias') else 0.08))
    folder = sys.argv[1] + '/' + name
    model.to(torch.bfloat16).save_pretrained(folder)
    # loaded anew: .float() would keep a rotary table that went through bfloat16
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager').eval()
    ids = torch.randint(3, 256, (2, n))
    with torch.no_grad():
        out = model(ids, output_hidden_states=True)
        positions = torch.arange(n - 48, n)
        greedy = ids[:, :32].clone()
        for _ in range(48):
            greedy = torch.cat([greedy, model(greedy).logits[:, -1].argmax(-1, keepdim=True)], 1)
    save_file({'logits': out.logits[:, positions].contiguous(), 'positions': positions.int(), 'input_ids': ids.int(),
               'greedy': greedy[:, 32:].int().contiguous(), 'hidden_last': torch.stack([h[:, -1] for h in out.hidden_states])},
              folder + '/golden.safetensors', {'about': 'HF transformers 5.17.0, float32 CPU, eager attention'})
