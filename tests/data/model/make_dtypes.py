"""Writes dtypes.bin: random blocks of every quantised type with the values that the gguf package
gives them. Per type: u32 ggml name length, name, u32 raw bytes, raw, u32 values, f32 values.
Needs the Python package gguf; run once, the result is kept."""
import struct
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
          "IQ4_NL": [0], "IQ4_XS": [0]}

rng = np.random.default_rng(7)
with open(sys.argv[1], "wb") as out:
    for name, places in SCALES.items():
        kind = GGMLQuantizationType[name]
        elements, size = GGML_QUANT_SIZES[kind]
        count = 512 // elements
        raw = rng.integers(0, 256, (count, size), dtype=np.uint8)
        for place in places:
            scales = (rng.standard_normal(count) * 0.1).astype(np.float16)
            raw[:, place:place + 2] = scales.view(np.uint8).reshape(count, 2)
        values = dequantize(raw.reshape(1, -1), kind).astype(np.float32).ravel()
        encoded = name.encode()
        out.write(struct.pack("<I", len(encoded)) + encoded)
        out.write(struct.pack("<I", raw.size) + raw.tobytes())
        out.write(struct.pack("<I", values.size) + values.tobytes())
