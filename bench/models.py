#!/usr/bin/env python3
"""Cloze against llama.cpp, step by step: decode, prefill and eight sequences, on several files.

    python bench/models.py --step build/bench/cloze-step --llama-bench .../llama-bench \\
        [--llama-batched .../llama-batched-bench] [--rounds 3] [--markdown FILE] MODEL.gguf...

Programs run in turn (A B A B ...) with the same file and number of threads; a figure is the median
over the rounds, a ratio the median of the rounds' ratios. Two threads by default.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile


def run(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def cloze(options, model, cache):
    out = run([options.step, model, cache, str(options.prompt), str(options.generate), "8",
               str(options.repetitions), str(options.threads)])
    row = json.loads(out)
    return dict(decode=row["decode_tok_s"], prefill=row["prefill_tok_s"], batch=row["batch_tok_s"],
                share=row["bandwidth_gb_s"] / row["read_peak_gb_s"], peak=row["int8_peak_gops"])


def llama(options, model):
    out = run([options.llama_bench, "-m", model, "-t", str(options.threads), "-p",
               str(options.prompt), "-n", str(options.generate), "-r", str(options.repetitions),
               "-o", "jsonl"])
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    result = {"decode" if row["n_gen"] else "prefill": row["avg_ts"] for row in rows}
    if options.llama_batched:
        out = run([options.llama_batched, "-m", model, "-t", str(options.threads), "-npp", "1",
                   "-ntg", str(options.generate), "-npl", "8", "-c", "4096", "--output-format",
                   "jsonl"])
        result["batch"] = [json.loads(line) for line in out.splitlines()
                           if line.startswith("{")][-1]["speed_tg"]
    return result


def measure(options, model, cache):
    cloze(options, model, cache)  # packs the model
    rounds = [(cloze(options, model, cache), llama(options, model))
              for _ in range(options.rounds)]
    rows = []
    for name in ("decode", "prefill", "batch"):
        pairs = [(ours[name], theirs[name]) for ours, theirs in rounds if name in theirs]
        if pairs:
            rows.append((name, statistics.median(a for a, _ in pairs),
                         statistics.median(b for _, b in pairs),
                         statistics.median(a / b for a, b in pairs)))
    share = statistics.median(ours["share"] for ours, _ in rounds)
    peak = statistics.median(ours["peak"] for ours, _ in rounds)
    print(f"<!-- decode reads the file's bytes at {share:.0%} of a plain read loop's rate; "
          f"int8 peak {peak:.0f} GOP/s -->")
    return rows


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
    parser.add_argument("--markdown", help="write the table to this file too")
    options = parser.parse_args()
    names = dict(decode=f"decode {options.generate}", prefill=f"prefill {options.prompt}",
                 batch="8 sequences")
    lines = ["| file | what | llama.cpp tok/s | Cloze tok/s | ratio |", "|---|---|--:|--:|--:|"]
    print("\n".join(lines))
    with tempfile.TemporaryDirectory() as cache:
        for model in options.models:
            for name, ours, theirs, ratio in measure(options, model, cache):
                lines.append(f"| {pathlib.Path(model).stem} | {names[name]} | {theirs:.0f} | "
                             f"{ours:.0f} | {ratio:.2f} x |")
                print(lines[-1], flush=True)
    if options.markdown:
        pathlib.Path(options.markdown).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
