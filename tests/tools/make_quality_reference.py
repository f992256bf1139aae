#!/usr/bin/env python3
"""Records what a model predicts in float32, for tests/e2e/test_quality.py.

    python tests/tools/make_quality_reference.py SmolLM2-135M-Instruct.Q4_1.gguf \\
        tests/data/quality.txt tests/data/quality-reference.npz     (transformers, torch, accelerate)

Four passages of the text, LENGTH tokens each; per position the KEPT most likely next tokens with their
log-probabilities, computed by transformers from the dequantised weights of the file.
"""
import pathlib
import sys

import numpy
import torch
import transformers

LENGTH, KEPT, PASSAGES = 96, 64, 4


def main():
    model_path, text, output = map(pathlib.Path, sys.argv[1:])
    source = dict(gguf_file=model_path.name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_path.parent, **source)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        model_path.parent, dtype=torch.float32, **source).eval()
    tokens = tokenizer(text.read_text(), add_special_tokens=False, verbose=False)["input_ids"]
    starts = [len(tokens) * i // PASSAGES for i in range(PASSAGES)]
    passages = numpy.array([tokens[start:start + LENGTH] for start in starts], "<u4")
    with torch.no_grad():
        logits = model(torch.from_numpy(passages.astype("i8"))).logits
        values, ids = torch.log_softmax(logits.double(), -1).topk(KEPT, -1)
    numpy.savez_compressed(output, tokens=passages, ids=ids.numpy().astype("<u2"),
                           log_probabilities=values.numpy().astype("<f4"))


if __name__ == "__main__":
    main()
