#!/usr/bin/env python3
"""mk_fp8 - a small model's folder with its projections in FP8, and what they stand for in BF16 and F32

usage: mk_fp8.py FROM TO tensor|row|block    (TO/fp8, TO/bf16, TO/f32: folders; only Python's standard library)

The FP8 bytes are made up from the weights' bits: what matters is that reading them is right.  The expected values are
worked out here on their own: E4M3 by its definition, the product in double precision (exact) rounded to F32, then BF16.
"""
import json
import os
import shutil
import struct
import sys

FROM, TO, KIND = sys.argv[1:4]
BLOCK = (16, 24)  # ragged at the edges of 32, 64


def read(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        head, data = json.loads(f.read(n)), f.read()
    return {k: (v["dtype"], v["shape"], data[v["data_offsets"][0]:v["data_offsets"][1]]) for k, v in head.items() if k != "__metadata__"}


def write(path, tensors):
    at, head, data = 0, {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        data += raw
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def e4m3(b):
    sign, e, m = -1.0 if b & 128 else 1.0, b >> 3 & 15, b & 7
    return sign * (m * 2.0 ** -9 if e == 0 else (1 + m / 8) * 2.0 ** (e - 7))


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bf16(x):
    u = struct.unpack("<I", struct.pack("<f", x))[0]
    return (u + 0x7FFF + (u >> 16 & 1)) >> 16


def scale_of(r, c):
    i = {"tensor": 0, "row": r, "block": r // BLOCK[0] * 1000 + c // BLOCK[1]}[KIND]
    return f32(0.001 + 0.0003 * (i * 2654435761 % 97))


fp8, plain, wide = {}, {}, {}
for name, (dtype, shape, raw) in read(FROM + "/model.safetensors").items():
    if not name.endswith("_proj.weight"):
        fp8[name] = plain[name] = wide[name] = (dtype, shape, raw)
        continue
    rows, cols = shape
    codes = bytes(b if b & 127 != 127 else b ^ 1 for b in raw[1::2])
    value = [f32(e4m3(codes[r * cols + c]) * scale_of(r, c)) for r in range(rows) for c in range(cols)]
    bh, bw = {"tensor": (rows, cols), "row": (1, cols), "block": BLOCK}[KIND]
    scales = [scale_of(r, c) for r in range(0, rows, bh) for c in range(0, cols, bw)]
    dims = {"tensor": [], "row": [rows, 1], "block": [-(-rows // bh), -(-cols // bw)]}[KIND]
    fp8[name] = ("F8_E4M3", shape, codes)
    fp8[name + ("_scale_inv" if KIND == "block" else "_scale")] = ("F32", dims, struct.pack("<%df" % len(scales), *scales))
    if KIND == "tensor":
        fp8[name[:-6] + "input_scale"] = ("F32", [], struct.pack("<f", 1.5))
    plain[name] = ("BF16", shape, struct.pack("<%dH" % len(value), *map(bf16, value)))
    wide[name] = ("F32", shape, struct.pack("<%df" % len(value), *value))
for sub, tensors in (("fp8", fp8), ("bf16", plain), ("f32", wide)):
    to = os.path.join(TO, sub)
    shutil.copytree(FROM, to)
    write(to + "/model.safetensors", tensors)
    with open(to + "/config.json") as f:
        config = json.load(f)
    if sub == "fp8":
        config["quantization_config"] = {
            "tensor": {"quant_method": "compressed-tensors", "format": "float-quantized"},
            "row": {"quant_method": "fbgemm_fp8"},
            "block": {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": list(BLOCK)}}[KIND]
    with open(to + "/config.json", "w") as f:
        json.dump(config, f)
