#!/usr/bin/env python3
"""golden_arch.py - tiny random models of every family, with transformers' float32 answers

Usage: golden_arch.py OUTDIR    (needs torch, transformers 5, numpy, safetensors; a CPU is enough)

A folder per case in OUTDIR: config.json; weights.json, from which the weights are made again;
golden.safetensors as the goldens of the tests are (input_ids, positions, logits, hidden_last, greedy).
Nothing of a model is stored: element i of the tensor NAME is

    offset + (2 * (splitmix64(fnv1a64(NAME) + i) >> 56) - 255) * 2^-exponent

which bf16 (offset 0) and float32 hold exactly; weights.json lists [name, shape, exponent, offset].
A case that fails is reported and the others go on.  Where tests/vectors/arch/CASE/exported.json exists, a
config.json that apr2st wrote, the model is loaded once more with it and must give the same logits.
"""
import json
import os
import shutil
import sys
import traceback

import numpy as np
import safetensors
import torch
import transformers
from safetensors.numpy import load_file, save_file

T, GREEDY_FROM, GREEDY = 128, 32, 48
POSITIONS = [0, 7, 23, 24, 31, 40, 63, 71, 99, 127]
VOCAB = 256
MASK = (1 << 64) - 1

COMMON = dict(vocab_size=VOCAB, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
              num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
              bos_token_id=1, eos_token_id=2, pad_token_id=0)


def rope(kind="default", theta=10000.0, **more):
    return dict(rope_type=kind, rope_theta=theta, **more)


LLAMA3 = rope("llama3", 500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
YARN = rope("yarn", 10000.0, factor=4.0, original_max_position_embeddings=64)
YARN_MORE = rope("yarn", 10000.0, factor=8.0, original_max_position_embeddings=32, beta_fast=16.0,
                 beta_slow=2.0, attention_factor=1.25)
SHORT = [1.0, 1.05, 1.1, 1.2, 1.3, 1.45]
LONG = [1.0, 1.5, 2.5, 4.0, 6.5, 9.0]


def longrope(original):
    return rope("longrope", 10000.0, short_factor=SHORT, long_factor=LONG,
                original_max_position_embeddings=original, partial_rotary_factor=0.75)


# name: (config class, what differs from COMMON)
CASES = {
    "llama2": ("LlamaConfig", dict(num_key_value_heads=4, rope_parameters=rope())),
    "llama-linear": ("LlamaConfig", dict(rope_parameters=rope("linear", 10000.0, factor=4.0),
                                         attention_bias=True, mlp_bias=True)),
    "llama-yarn": ("LlamaConfig", dict(rope_parameters=YARN_MORE)),
    "smollm": ("LlamaConfig", dict(tie_word_embeddings=True, num_attention_heads=3,
                                   num_key_value_heads=1, hidden_size=48,
                                   rope_parameters=rope(theta=100000.0))),
    "r1-distill-llama": ("LlamaConfig", dict(rope_parameters=LLAMA3)),
    "r1-distill-qwen": ("Qwen2Config", dict(rope_parameters=rope(theta=1000000.0),
                                            use_sliding_window=False, tie_word_embeddings=False)),
    "qwen2-window": ("Qwen2Config", dict(num_hidden_layers=3, use_sliding_window=True,
                                         sliding_window=24, max_window_layers=1,
                                         tie_word_embeddings=True,
                                         rope_parameters=rope(theta=1000000.0))),
    "qwen2-yarn-small": ("Qwen2Config", dict(rope_parameters=YARN, tie_word_embeddings=True)),
    "qwen3-small": ("Qwen3Config", dict(head_dim=32, tie_word_embeddings=True,
                                        rope_parameters=rope(theta=1000000.0))),
    "qwen2-moe": ("Qwen2MoeConfig", dict(num_experts=6, num_experts_per_tok=2,
                                         moe_intermediate_size=32,
                                         shared_expert_intermediate_size=64, norm_topk_prob=False,
                                         decoder_sparse_step=1, mlp_only_layers=[],
                                         tie_word_embeddings=False, rope_parameters=rope())),
    "qwen2-moe-norm": ("Qwen2MoeConfig", dict(num_experts=8, num_experts_per_tok=3,
                                              moe_intermediate_size=32,
                                              shared_expert_intermediate_size=96,
                                              norm_topk_prob=True, decoder_sparse_step=1,
                                              mlp_only_layers=[], tie_word_embeddings=True,
                                              rope_parameters=rope())),
    "qwen3-moe-small": ("Qwen3MoeConfig", dict(num_experts=8, num_experts_per_tok=2,
                                               moe_intermediate_size=32, norm_topk_prob=True,
                                               head_dim=32, decoder_sparse_step=1,
                                               mlp_only_layers=[], tie_word_embeddings=False,
                                               rope_parameters=rope(theta=1000000.0))),
    "mistral-window": ("MistralConfig", dict(sliding_window=24, head_dim=32,
                                             rope_parameters=rope())),
    "phi3-window": ("Phi3Config", dict(sliding_window=40, rope_parameters=rope(
        partial_rotary_factor=1.0))),
    "phi4-mini-short": ("Phi3Config", dict(tie_word_embeddings=True, partial_rotary_factor=0.75,
                                           original_max_position_embeddings=256,
                                           rope_parameters=longrope(256))),
    "phi4-mini-long": ("Phi3Config", dict(tie_word_embeddings=True, partial_rotary_factor=0.75,
                                          original_max_position_embeddings=24,
                                          rope_parameters=longrope(24))),
    "gemma2": ("Gemma2Config", dict(num_hidden_layers=4, head_dim=32, query_pre_attn_scalar=24,
                                    sliding_window=24, attn_logit_softcapping=5.0,
                                    final_logit_softcapping=4.0,
                                    hidden_activation="gelu_pytorch_tanh",
                                    rope_parameters=rope())),
    "gemma3": ("Gemma3TextConfig", dict(num_hidden_layers=7, head_dim=32,
                                        query_pre_attn_scalar=24, sliding_window=24,
                                        hidden_activation="gelu_pytorch_tanh",
                                        layer_types=["full_attention" if i == 5
                                                     else "sliding_attention" for i in range(7)],
                                        rope_parameters={
                                            "sliding_attention": rope(theta=10000.0),
                                            "full_attention": rope("linear", 1000000.0,
                                                                   factor=8.0)})),
    "starcoder2": ("Starcoder2Config", dict(hidden_act="gelu_pytorch_tanh", norm_epsilon=1e-5,
                                            use_bias=True, sliding_window=24,
                                            tie_word_embeddings=True,
                                            rope_parameters=rope(theta=100000.0))),
    "granite": ("GraniteConfig", dict(embedding_multiplier=12.0, attention_multiplier=0.125,
                                      residual_multiplier=0.25, logits_scaling=4.0,
                                      tie_word_embeddings=True, rope_parameters=rope())),
}


def fnv1a(name):
    h = 0xcbf29ce484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001b3) & MASK
    return h


def splitmix(x):
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9e3779b97f4a7c15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
        return x ^ (x >> np.uint64(31))


def values(name, shape, exponent, offset):
    n = int(np.prod(shape))
    with np.errstate(over="ignore"):
        bits = splitmix(np.uint64(fnv1a(name)) + np.arange(n, dtype=np.uint64)) >> np.uint64(56)
    x = (2.0 * bits.astype(np.float64) - 255.0) * 2.0 ** -exponent + offset
    y = x.astype(np.float32)
    assert (y.astype(np.float64) == x).all(), name
    return y.reshape(shape)


def recipe(name, shape, arch):
    """Exponent and offset of a tensor: a spread that makes attention, gates and experts matter."""
    if len(shape) == 1:
        norm = "norm" in name
        zero = norm and (arch.startswith("gemma"))
        bias = name.endswith("bias")
        return (10, 0.0 if zero or bias else 1.0)
    if "embed_tokens" in name:
        return (8, 0.0)
    return (10, 0.0)


def make(name, out):
    kind, more = CASES[name]
    config = getattr(transformers, kind)(**{**COMMON, **more})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    whole = os.path.join(out, name + ".tmp")
    final = os.path.join(out, name)
    model.save_pretrained(whole)
    path = os.path.join(whole, "model.safetensors")
    weights, tensors = [], {}
    for tensor, old in sorted(load_file(path).items()):
        exponent, offset = recipe(tensor, old.shape, name)
        weights.append([tensor, list(old.shape), exponent, offset])
        tensors[tensor] = values(tensor, old.shape, exponent, offset)
    save_file(tensors, path, metadata={"format": "pt"})
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        whole, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    model.eval()
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(what):
            raise RuntimeError("%s: %s" % (what, info[what]))

    rng = np.random.default_rng(fnv1a(name) & 0xffffffff)
    ids = torch.from_numpy(rng.integers(3, VOCAB, size=(2, T), dtype=np.int64))
    with torch.no_grad():
        r = model(ids, use_cache=False, output_hidden_states=True)
        hidden = torch.stack([h[:, -1] for h in r.hidden_states])
        cur, greedy, margin = ids[:, :GREEDY_FROM], [], np.inf
        for _ in range(GREEDY):
            step = model(cur, use_cache=False).logits[:, -1]
            two = step.topk(2).values
            margin = min(margin, (two[:, 0] - two[:, 1]).min().item())
            greedy.append(step.argmax(-1))
            cur = torch.cat([cur, greedy[-1][:, None]], 1)
        # the cache must not matter: the same greedy tokens from the library's own generate
        try:
            gen = model.generate(ids[:, :GREEDY_FROM], max_new_tokens=GREEDY, do_sample=False,
                                 min_new_tokens=GREEDY, eos_token_id=None, pad_token_id=0)
            same = bool((gen == cur).all())
        except Exception as e:
            same = "generate: %s" % e
    exported = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "arch", name,
                            "exported.json")
    if os.path.exists(exported):
        again = os.path.join(out, name + ".tmp")
        shutil.copy(os.path.join(again, "config.json"), os.path.join(again, "own.json"))
        shutil.copy(exported, os.path.join(again, "config.json"))
        other = transformers.AutoModelForCausalLM.from_pretrained(
            again, dtype=torch.float32, attn_implementation="eager")
        other.eval()
        with torch.no_grad():
            diff = (other(ids, use_cache=False).logits - r.logits).abs().max().item()
        print("%-18s with the config.json that apr2st wrote: logits differ by %.1e%s" %
              (name, diff, "" if diff == 0 else "  NOT EQUAL"))
        shutil.copy(os.path.join(again, "own.json"), os.path.join(again, "config.json"))
    golden = {
        "input_ids": ids.numpy().astype(np.int32),
        "positions": np.array(POSITIONS, dtype=np.int32),
        "logits": r.logits[:, POSITIONS].float().numpy(),
        "hidden_last": hidden.float().numpy(),
        "greedy": torch.stack(greedy, 1).numpy().astype(np.int32),
    }
    golden = {k: np.ascontiguousarray(v) for k, v in golden.items()}
    os.makedirs(final, exist_ok=True)
    save_file(golden, os.path.join(final, "golden.safetensors"),
              metadata={"transformers": transformers.__version__, "torch": torch.__version__})
    shutil.copy(os.path.join(whole, "config.json"), final)
    with open(os.path.join(final, "weights.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(w) for w in weights) + "\n]\n")
    shutil.rmtree(whole)
    print("%-18s %3d tensors, logits std %.3f max %.2f, greedy margin %.1e, generate equal: %s" %
          (name, len(weights), r.logits.std().item(), r.logits.abs().max().item(), margin, same),
          flush=True)
    if margin < 1e-4:
        print("%s: a margin that small is no test; change its seed" % name)


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    torch.set_num_threads(1)
    print("torch %s, transformers %s, numpy %s, safetensors %s" % (
        torch.__version__, transformers.__version__, np.__version__, safetensors.__version__))
    failed = 0
    for name in CASES:
        try:
            make(name, out)
        except Exception:
            failed += 1
            print("FAILED %s" % name)
            traceback.print_exc(file=sys.stdout)
            shutil.rmtree(os.path.join(out, name + ".tmp"), ignore_errors=True)
    print("%d cases, %d failed" % (len(CASES), failed))


if __name__ == "__main__":
    main()
