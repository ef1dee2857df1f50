"""lora_sweep - how do learning rate and batch of recipe-a's finetune trade off?  peft on a GPU, the recipe's data

usage: python3 tests/gpu/lora_sweep.py TOKENIZER_FOLDER 'lr,batch,epochs,rank' ...
Trains the built-in model (from its Q8_0 GGUF, dequantized) with torch and peft, one process a setting,
and prints validation loss and the solved tasks of `basic` for each.  float32, cosine to 0, 3 % warm-up.
"""
import gzip, json, math, os, random, re, struct, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
import numpy as np

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TOP = os.environ.get("TOP", TOP)


def gguf_q8(path):
    b = open(path, "rb").read()
    pos = 4
    def u(fmt):
        nonlocal pos
        v = struct.unpack_from("<" + fmt, b, pos)[0]
        pos += struct.calcsize("<" + fmt)
        return v
    def string():
        nonlocal pos
        n = u("Q")
        pos += n
        return b[pos - n:pos].decode("utf-8", "replace")
    fmts = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
    def value(t):
        if t == 8:
            return string()
        if t == 9:
            et, n = u("I"), u("Q")
            return [value(et) for _ in range(n)]
        return u(fmts[t])
    u("I")
    nt, nk = u("Q"), u("Q")
    for _ in range(nk):
        string()
        value(u("I"))
    info = []
    for _ in range(nt):
        name = string()
        dims = [u("Q") for _ in range(u("I"))][::-1]
        info.append((name, dims, u("I"), u("Q")))
    base = (pos + 31) // 32 * 32
    out = {}
    for name, dims, t, off in info:
        n = int(np.prod(dims))
        if t == 0:
            x = np.frombuffer(b, np.float32, n, base + off)
        else:
            assert t == 8, (name, t)
            r = np.frombuffer(b, np.dtype([("d", "<f2"), ("q", "i1", 32)]), n // 32, base + off)
            x = (r["d"].astype(np.float32)[:, None] * r["q"].astype(np.float32)).reshape(-1)
        out[name] = x.reshape(dims).copy()
    return out


NAMES = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def model_of(tok_dir):
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM
    cfg = Qwen2Config(**json.load(open(os.path.join(tok_dir, "config.json"))))
    cfg.dtype = torch.float32
    m = Qwen2ForCausalLM(cfg).float()
    sd = {}
    for name, x in gguf_q8(os.path.join(TOP, "data/models/tiny-coder-29m-Q8_0.gguf")).items():
        p = name.split(".")
        if p[0] == "blk":
            key = f"model.layers.{p[1]}.{NAMES[p[2]]}.{p[3]}"
        else:
            key = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}[p[0]] + "." + p[1]
        sd[key] = torch.from_numpy(x)
    missing, unexpected = m.load_state_dict(sd, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    m.tie_weights()
    return m


def run(setting, tok_dir):
    import torch
    from peft import LoraConfig, get_peft_model
    from tokenizers import Tokenizer
    lr, batch, epochs, rank = setting
    torch.manual_seed(1)
    tok = Tokenizer.from_file(os.path.join(tok_dir, "tokenizer.json"))
    enc = lambda s: tok.encode(s, add_special_tokens=False).ids
    S, E = 8185, 8186
    S = tok.token_to_id("<|im_start|>"); E = tok.token_to_id("<|im_end|>")
    def sample(r):
        p = [S] + enc("user\n" + r["instruction"]) + [E] + enc("\n") + [S] + enc("assistant\n")
        a = enc(r["response"]) + [E] + enc("\n")
        return (p + a)[:512], len(p)
    load = lambda f: [sample(json.loads(l)) for l in gzip.open(os.path.join(TOP, "data/train", f), "rt")]
    train, val = load("basic-finetune.jsonl.gz"), load("basic-finetune-val.jsonl.gz")
    m = get_peft_model(model_of(tok_dir), LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")).cuda()
    opt = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=lr, weight_decay=0)
    n = math.ceil(len(train) / batch)
    steps, warm = n * epochs, max(1, int(0.03 * n * epochs))
    def loss_of(b):
        T = max(len(x) for x, _ in b)
        ids = torch.zeros(len(b), T, dtype=torch.long); att = torch.zeros_like(ids); lab = torch.full_like(ids, -100)
        for i, (x, p) in enumerate(b):
            ids[i, :len(x)] = torch.tensor(x); att[i, :len(x)] = 1; lab[i, p:len(x)] = ids[i, p:len(x)]
        ids, att, lab = ids.cuda(), att.cuda(), lab.cuda()
        lg = m(input_ids=ids, attention_mask=att).logits[:, :-1].float()
        l = torch.nn.functional.cross_entropy(lg.reshape(-1, lg.shape[-1]), lab[:, 1:].reshape(-1), ignore_index=-100, reduction="sum")
        return l, (lab[:, 1:] >= 0).sum()
    def validate():
        m.eval(); tot = cnt = 0
        with torch.no_grad():
            for i in range(0, len(val), 50):
                l, c = loss_of(val[i:i + 50]); tot += l.item(); cnt += c.item()
        m.train(); return tot / cnt
    order = random.Random(42); step = 0
    for ep in range(epochs):
        idx = list(range(len(train))); order.shuffle(idx)
        for i in range(0, len(idx), batch):
            f = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
            for g in opt.param_groups: g["lr"] = lr * f
            l, c = loss_of([train[j] for j in idx[i:i + batch]])
            (l / c).backward(); torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0); opt.step(); opt.zero_grad(); step += 1
    v = validate()
    m.eval(); m = m.merge_and_unload()
    tasks = [json.loads(l) for l in gzip.open(os.path.join(TOP, "data/bench/basic.jsonl.gz"))]
    outs = []
    with torch.no_grad():
        for i in range(0, len(tasks), 82):
            ps = [[S] + enc("user\nComplete the following Python function. Return the whole function.\n\n" + t["prompt"].rstrip()) + [E] + enc("\n") + [S] + enc("assistant\n") for t in tasks[i:i + 82]]
            T = max(map(len, ps))
            ids = torch.tensor([[8184] * (T - len(p)) + p for p in ps]).cuda(); att = torch.tensor([[0] * (T - len(p)) + [1] * len(p) for p in ps]).cuda()
            g = m.generate(input_ids=ids, attention_mask=att, max_new_tokens=320, do_sample=False, eos_token_id=[8186, 8184], pad_token_id=8184)
            outs += [tok.decode([t for t in r.tolist() if t < 8184]) for r in g[:, T:]]
    def judge(a):
        t, o = a
        c = re.search(r"```(?:python)?\n(.*?)(?:```|$)", o, re.S)
        src = (c.group(1) if c else o) + "\n" + t["test"] + f"\ncheck({t['entry_point']})\n"
        with tempfile.NamedTemporaryFile("w", suffix=".py") as f:
            f.write(src); f.flush()
            try: return subprocess.run([sys.executable, f.name], capture_output=True, timeout=10).returncode == 0
            except subprocess.TimeoutExpired: return False
    with ThreadPoolExecutor(4) as ex:
        ok = list(ex.map(judge, zip(tasks, outs)))
    print("lr %g batch %d epochs %d rank %d: validation %.4f basic %d/164" % (lr, batch, epochs, rank, v, sum(ok)), flush=True)


if __name__ == "__main__":
    ctx = get_context("spawn")
    jobs = [tuple(f(x) for f, x in zip((float, int, int, int), a.split(","))) for a in sys.argv[2:]]
    with ctx.Pool(6, maxtasksperchild=1) as pool:
        pool.starmap(run, [(j, sys.argv[1]) for j in jobs], chunksize=1)
