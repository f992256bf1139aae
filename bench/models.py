#!/usr/bin/env python3
"""Cloze against llama.cpp, step by step: decode, prefill and eight sequences, on several files.

    python bench/models.py --step build/bench/cloze-step --llama-bench .../llama-bench \\
        [--llama-batched .../llama-batched-bench] [--rounds 3] [--document docs/benchmarks.md] \\
        [--prefix "chrt -f 50"] MODEL.gguf...

Programs run in turn (A B A B ...) with the same file and number of threads; a figure is the median
over the rounds, a ratio the median of the rounds' ratios, its spread their lowest and highest. The
last column compares with llama.cpp's fastest file of those given. Two threads by default. The
document's part between the two "models" comments is replaced.
"""
import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import tempfile

BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"


def run(options, command):
    return subprocess.run(shlex.split(options.prefix) + command, check=True, capture_output=True,
                          text=True).stdout


def cloze(options, model, cache):
    out = run(options, [options.step, model, cache, str(options.prompt), str(options.generate), "8",
                        str(options.repetitions), str(options.threads)])
    row = json.loads(out)
    return dict(decode=row["decode_tok_s"], prefill=row["prefill_tok_s"], batch=row["batch_tok_s"],
                share=row["read_share"], read=row["read_peak_gb_s"], peak=row["int8_peak_gops"])


def llama(options, model):
    out = run(options, [options.llama_bench, "-m", model, "-t", str(options.threads), "-p",
                        str(options.prompt), "-n", str(options.generate), "-r",
                        str(options.repetitions), "-o", "jsonl"])
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    result = {"decode" if row["n_gen"] else "prefill": row["avg_ts"] for row in rows}
    if options.llama_batched:
        out = run(options, [options.llama_batched, "-m", model, "-t", str(options.threads), "-npp",
                            "1", "-ntg", str(options.generate), "-npl", "8", "-c", "4096",
                            "--output-format", "jsonl"])
        result["batch"] = [json.loads(line) for line in out.splitlines()
                           if line.startswith("{")][-1]["speed_tg"]
    return result


def measure(options, models, cache):
    """One list of (ours, theirs) a model; rounds go over all models, so that drift meets all."""
    rounds = {model: [] for model in models}
    for model in models:
        # packs the model
        run(options, [options.step, model, cache, "1", "1", "0", "1", str(options.threads)])
    for _ in range(options.rounds):
        for model in models:
            rounds[model].append((cloze(options, model, cache), llama(options, model)))
    return rounds


def rows_of(options, rounds):
    """The table's lines."""
    names = dict(decode=f"decode {options.generate}", prefill=f"prefill {options.prompt}",
                 batch="8 sequences")
    yield "| file | what | llama.cpp tok/s | Cloze tok/s | ratio | spread | to llama.cpp's best |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for model, pairs_of_model in rounds.items():
        for name in names:
            pairs = [(ours[name], theirs[name]) for ours, theirs in pairs_of_model
                     if name in theirs]
            if not pairs:
                continue
            best = max(statistics.median(theirs[name] for _, theirs in others)
                       for others in rounds.values())
            ratios = [a / b for a, b in pairs]
            mine = statistics.median(a for a, _ in pairs)
            yield (f"| {pathlib.Path(model).stem} | {names[name]} "
                   f"| {statistics.median(b for _, b in pairs):.0f} | {mine:.0f} "
                   f"| {statistics.median(ratios):.2f} x | {min(ratios):.2f} to {max(ratios):.2f} "
                   f"| {mine / best:.2f} x |")


def limits_of(options, rounds):
    """What the machine gave, and the shares of it."""
    yield "| file | read GB/s | decoding's share | int8 GOP/s | prefill's share |"
    yield "|---|--:|--:|--:|--:|"
    for model, pairs in rounds.items():
        ours = [ours for ours, _ in pairs]
        arithmetic = [row["prefill"] * 2e-9 * options.parameters / row["peak"] for row in ours]
        median = {key: statistics.median(row[key] for row in ours)
                  for key in ("read", "share", "peak")}
        yield (f"| {pathlib.Path(model).stem} | {median['read']:.1f} | {median['share']:.0%} "
               f"| {median['peak']:.0f} | {statistics.median(arithmetic):.0%} |")


def write_document(path, lines):
    text = path.read_text()
    before, rest = text.split(BEGIN, 1)
    path.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END, 1)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--step", required=True)
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--llama-batched")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parameters", type=float, default=106.2e6,
                        help="of the model without embedding and head (SmolLM2-135M: 106.2e6)")
    parser.add_argument("--prefix", default="", help="what both programs are run with")
    parser.add_argument("--document", type=pathlib.Path, help="where to replace the tables")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        rounds = measure(options, options.models, cache)
    lines = [*rows_of(options, rounds), "", *limits_of(options, rounds)]
    print("\n".join(lines))
    if options.document:
        write_document(options.document, lines)


if __name__ == "__main__":
    main()
