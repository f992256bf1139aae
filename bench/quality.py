#!/usr/bin/env python3
"""How far a model's logits are from float32, teacher-forced: Cloze, and llama.cpp on the same tokens.

    python bench/quality.py MODEL.gguf --logits build/check/bench/cloze-logits \\
        [--llama-logits build/llama-logits] [--text tests/data/quality.txt] [--json]

The reference is transformers in float32 with the dequantised weights of the same file (needs torch,
transformers, gguf, accelerate). The text is cut in sequences of 512 tokens. Per program: positions,
mean KL divergence from the reference in nats, share of positions with the same most likely token, and
perplexity. bench/llama_logits.c says how llama-logits is built.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
import transformers

LENGTH = 512
SLICE = 64  # positions that are compared at a time


def log_softmax(logits):
    return torch.log_softmax(torch.as_tensor(logits).double(), -1).numpy()


class Score:
    """Sums over positions: KL from the reference, agreement of the most likely token, surprise."""

    def __init__(self):
        self.positions, self.kl, self.same, self.nll, self.nll_count = 0, 0.0, 0, 0.0, 0

    def add(self, reference, other, following):
        self.positions += len(reference)
        self.kl += float((numpy.exp(reference) * (reference - other)).sum())
        self.same += int((reference.argmax(-1) == other.argmax(-1)).sum())
        rows = numpy.arange(len(following))
        self.nll -= float(other[rows, following].sum())
        self.nll_count += len(following)

    def result(self):
        return dict(positions=self.positions, mean_kl=self.kl / self.positions,
                    same_top=self.same / self.positions,
                    perplexity=float(numpy.exp(self.nll / self.nll_count)))


def load(model):
    path = pathlib.Path(model)
    if path.is_dir():
        return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name,
                                                             dtype=torch.float32)


def tokens_of(model, text):
    path = pathlib.Path(model)
    extra = {} if path.is_dir() else dict(gguf_file=path.name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path if path.is_dir() else path.parent,
                                                           **extra)
    return numpy.array(tokenizer(pathlib.Path(text).read_text(), add_special_tokens=False,
                                 verbose=False)["input_ids"], "<i4")


class Program:
    """Reads sequences of token ids, writes the logits of every position."""

    def __init__(self, *command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def send(self, tokens):
        self.process.stdin.write(tokens.astype("<u4").tobytes())
        self.process.stdin.flush()

    def rows(self, vocab):
        """The next SLICE positions."""
        raw = self.process.stdout.read(SLICE * vocab * 4)
        return log_softmax(numpy.frombuffer(raw, "<f4").reshape(SLICE, vocab).copy())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def programs_of(options, folder):
    programs = {"cloze": Program(options.logits, options.model, options.cache or folder, LENGTH)}
    if options.llama_logits:
        programs["llama.cpp"] = Program(options.llama_logits, options.model, LENGTH, options.threads)
    return programs


def compare(options, folder):
    tokens = tokens_of(options.model, options.text)
    tokens = tokens[:len(tokens) // LENGTH * LENGTH].reshape(-1, LENGTH)
    model = load(options.model).eval()
    programs = programs_of(options, folder)
    scores = {name: Score() for name in ["reference", *programs]}
    for chunk in tokens:
        for program in programs.values():
            program.send(chunk)
        with torch.no_grad():
            reference = model(torch.from_numpy(chunk[None].astype("i8"))).logits[0]
        vocab = reference.shape[1]
        for first in range(0, LENGTH, SLICE):
            last = min(first + SLICE, LENGTH - 1)  # the last position has no following token
            exact = log_softmax(reference[first:last])
            following = chunk[first + 1:last + 1]
            scores["reference"].add(exact, exact, following)
            for name, program in programs.items():
                scores[name].add(exact, program.rows(vocab)[:last - first], following)
        print(", ".join(f"{name}: KL {score.result()['mean_kl']:.5f}" for name, score in
                        scores.items()), file=sys.stderr)
    for program in programs.values():
        program.close()
    return {name: score.result() for name, score in scores.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--logits", required=True, help="the program cloze-logits")
    parser.add_argument("--llama-logits", help="the program of bench/llama_logits.c")
    parser.add_argument("--text", default="tests/data/quality.txt")
    parser.add_argument("--cache", help="folder for packed models (default: a temporary one)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        results = compare(options, folder)
    if options.json:
        print(json.dumps(results))
        return
    print("| program | positions | mean KL | same top | perplexity |\n|---|--:|--:|--:|--:|")
    for name, result in results.items():
        print(f"| {name} | {result['positions']} | {result['mean_kl']:.5f} | "
              f"{result['same_top']:.2%} | {result['perplexity']:.4f} |")


if __name__ == "__main__":
    main()
