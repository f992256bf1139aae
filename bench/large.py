#!/usr/bin/env python3
"""The share of the memory's bandwidth that decoding reaches with a large model.

    python bench/large.py --step build/bench/cloze-step [--kind q8_0 --kind q4_0] [--rounds 3]

Makes a GGUF file of a Llama of 1 B parameters or more (hidden size 2,048) with random, distinct
weights, at least eight times as large as the last-level cache, runs cloze-step on its packed form
and deletes both. Needs Python's numpy and gguf, and room for twice the file.
"""
import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import tempfile

import gguf
import numpy

HIDDEN, INNER, HEADS, KV_HEADS, VOCAB = 2048, 8192, 32, 8, 32768
KINDS = {"q8_0": (gguf.GGMLQuantizationType.Q8_0, 34), "q4_0": (gguf.GGMLQuantizationType.Q4_0, 18)}
LAYER = {"attn_q": (HIDDEN, HIDDEN), "attn_k": (HIDDEN // 4, HIDDEN),
         "attn_v": (HIDDEN // 4, HIDDEN), "attn_output": (HIDDEN, HIDDEN),
         "ffn_gate": (INNER, HIDDEN), "ffn_up": (INNER, HIDDEN), "ffn_down": (HIDDEN, INNER)}


def cache_bytes():
    """Of the last level; 32 MB where the system doesn't say."""
    path = pathlib.Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    return int(path.read_text().rstrip("K\n")) * 1024 if path.exists() else 32 << 20


def weights(random, shape, block_bytes):
    """Blocks of 32 weights: a scale between 2^-9 and 2^-8 and random codes."""
    blocks = random.integers(0, 256, (shape[0], shape[1] // 32, block_bytes), numpy.uint8)
    blocks[:, :, 1] = 0x18
    return blocks.reshape(shape[0], -1)


def write_model(path, kind, layers):
    form, block_bytes = KINDS[kind]
    random = numpy.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama", use_temp_file=False)
    writer.add_context_length(2048)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(VOCAB)
    ones = numpy.ones(HIDDEN, numpy.float32)
    shapes = {f"blk.{i}.{name}": shape for i in range(layers) for name, shape in LAYER.items()}
    shapes["token_embd"] = (VOCAB, HIDDEN)
    for name in [f"blk.{i}.{norm}" for i in range(layers) for norm in ("attn_norm", "ffn_norm")]:
        writer.add_tensor(f"{name}.weight", ones)
    writer.add_tensor("output_norm.weight", ones)
    for name, shape in shapes.items():
        row_bytes = shape[1] // 32 * block_bytes
        writer.add_tensor_info(f"{name}.weight", [shape[0], row_bytes], numpy.dtype(numpy.uint8),
                               shape[0] * row_bytes, form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _ in range(2 * layers + 1):
        writer.write_tensor_data(ones)
    for shape in shapes.values():
        writer.write_tensor_data(weights(random, shape, block_bytes))
    writer.close()


def measure(options, model, cache):
    command = [options.step, model, cache, "0", str(options.generate), "0", "3",
               str(options.threads)]
    pack = [options.step, model, cache, "0", "1", "0", "1", str(options.threads)]
    subprocess.run(pack, check=True, capture_output=True)
    return [json.loads(subprocess.run(shlex.split(options.prefix) + command, check=True,
                                      capture_output=True).stdout)
            for _ in range(options.rounds)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--step", required=True)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--layers", type=int, help="instead of as many as the cache asks for")
    parser.add_argument("--generate", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefix", default="", help="what cloze-step is run with")
    parser.add_argument("--folder", help="for the files (default: the system's temporary folder)")
    options = parser.parse_args()
    print("| weights | parameters | file | tok/s | read GB/s | share |\n|---|--:|--:|--:|--:|--:|")
    for kind in options.kind or KINDS:
        per_layer = sum(rows * columns for rows, columns in LAYER.values())
        enough = 8 * cache_bytes() / (KINDS[kind][1] / 32 * per_layer)
        layers = options.layers or max(16, int(enough) + 1)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            model = str(pathlib.Path(folder) / "large.gguf")
            write_model(model, kind, layers)
            rows = measure(options, model, folder)
            size = pathlib.Path(model).stat().st_size
        median = {key: statistics.median(row[key] for row in rows)
                  for key in ("decode_tok_s", "read_peak_gb_s", "read_share")}
        print(f"| {kind} | {(layers * per_layer + VOCAB * HIDDEN) / 1e9:.2f} B "
              f"| {size / 1e9:.2f} GB | {median['decode_tok_s']:.1f} "
              f"| {median['read_peak_gb_s']:.1f} | {median['read_share']:.0%} |", flush=True)


if __name__ == "__main__":
    main()
