#!/usr/bin/env python3
"""How far a model's logits are from float32, teacher-forced: Cloze, and llama.cpp on the same tokens.

    python bench/quality.py MODEL.gguf --logits build/bench/cloze-logits \\
        [--llama-perplexity llama-perplexity] [--text tests/data/quality.txt] [--json]

The reference is transformers in float32 with the dequantised weights of the same file (needs torch,
transformers, gguf, accelerate). The text is cut in sequences of 512 tokens. Per program: positions,
mean KL divergence from the reference in nats, share of positions with the same most likely token, and
perplexity. llama-perplexity saves only the second half of each sequence, with logits below the
maximum by more than 16 clipped; `second half` compares on those positions.
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
FIRST = LENGTH // 2  # what llama-perplexity saves: positions FIRST .. LENGTH - 2


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


def llama_file(program, model, text, folder, threads):
    path = pathlib.Path(folder) / "llama.logits"
    subprocess.run([program, "-m", model, "-f", text, "-c", str(LENGTH), "-b", str(LENGTH), "-t",
                    str(threads), "--kl-divergence-base", str(path)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    file = open(path, "rb")
    assert file.read(8) == b"_logits_"
    context, vocab, chunks = numpy.fromfile(file, "<i4", 3)
    assert context == LENGTH
    return file, vocab, numpy.fromfile(file, "<i4", chunks * LENGTH)


def llama_rows(file, vocab, rows):
    width = 2 * ((vocab + 1) // 2) + 4
    raw = numpy.fromfile(file, "<u2", rows * width).reshape(rows, width)
    head = raw[:, :4].copy().view("<f4")
    return head[:, :1] * raw[:, 4:4 + vocab].astype("f8") + head[:, 1:2].astype("f8")


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


def ours_of(program, model, cache):
    return subprocess.Popen([program, model, cache, str(LENGTH)], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)


def compare(options, folder):
    file = None
    if options.llama_perplexity:
        file, _, tokens = llama_file(options.llama_perplexity, options.model, options.text, folder,
                                     options.threads)
    else:
        tokens = tokens_of(options.model, options.text)
    tokens = tokens[:len(tokens) // LENGTH * LENGTH].reshape(-1, LENGTH)
    model = load(options.model).eval()
    ours = ours_of(options.logits, options.model, options.cache or folder)
    names = ["reference", "cloze", "cloze, second half"]
    scores = {name: Score() for name in names + (["llama.cpp, second half"] if file else [])}
    for chunk in tokens:
        ours.stdin.write(chunk.astype("<u4").tobytes())
        ours.stdin.flush()
        with torch.no_grad():
            reference = model(torch.from_numpy(chunk[None].astype("i8"))).logits[0]
        vocab = reference.shape[1]
        for first in range(0, LENGTH, SLICE):
            last = min(first + SLICE, LENGTH - 1)  # the last position has no following token
            exact = log_softmax(reference[first:last])
            mine = numpy.frombuffer(ours.stdout.read(SLICE * vocab * 4), "<f4").copy()
            mine = log_softmax(mine.reshape(SLICE, vocab)[:last - first])
            following = chunk[first + 1:last + 1]
            scores["reference"].add(exact, exact, following)
            scores["cloze"].add(exact, mine, following)
            if first >= FIRST:
                scores["cloze, second half"].add(exact, mine, following)
            if first >= FIRST and file:
                scores["llama.cpp, second half"].add(
                    exact, llama_rows(file, vocab, last - first), following)
        print(f"{scores['cloze'].positions} positions: KL {scores['cloze'].result()['mean_kl']:.5f}",
              file=sys.stderr)
    ours.stdin.close()
    ours.wait()
    return {name: score.result() for name, score in scores.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--logits", required=True, help="the program cloze-logits")
    parser.add_argument("--llama-perplexity")
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
