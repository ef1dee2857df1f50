#!/usr/bin/env python3
"""peft_steps - tokens/s and memory of LoRA in transformers + peft: what `cuda.sh steps` is measured beside

    tests/gpu/peft_steps.py SHAPE [--checkpoint] [--steps 12]      SHAPE: 1.5b, 7b (Qwen2.5's, random weights)

Rank 16, alpha 32 on all linear layers, bf16, batch 8 x 1,024 tokens, AdamW on the adapter, scaled-dot-product attention.
The first two steps are not counted. Needs torch, transformers, peft and a card.
"""
import argparse
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Qwen2Config

SHAPES = {
    "1.5b": dict(hidden_size=1536, num_hidden_layers=28, num_attention_heads=12, num_key_value_heads=2,
                 intermediate_size=8960, vocab_size=151936, tie_word_embeddings=True),
    "7b": dict(hidden_size=3584, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4,
               intermediate_size=18944, vocab_size=152064, tie_word_embeddings=False),
}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("shape", choices=SHAPES)
    p.add_argument("--checkpoint", action="store_true")
    p.add_argument("--steps", type=int, default=12)
    o = p.parse_args()
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(Qwen2Config(**SHAPES[o.shape]), attn_implementation="sdpa")
    torch.set_default_dtype(torch.float32)
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=LINEAR, task_type="CAUSAL_LM"))
    if o.checkpoint:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    optim = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-4, fused=True)
    ids = torch.randint(0, 150000, (8, 1024), device="cuda")
    for step in range(o.steps):
        if step == 2:
            torch.cuda.synchronize()
            start = time.time()
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optim.step()
        optim.zero_grad()
    torch.cuda.synchronize()
    rate = (o.steps - 2) * ids.numel() / (time.time() - start)
    print(f"peft {o.shape}{' --checkpoint' if o.checkpoint else ''}: {rate:.0f} tokens/s, "
          f"{torch.cuda.max_memory_reserved() / 2**30:.1f} GiB")


main()
