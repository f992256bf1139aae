"""Throughput beside one foreign process that computes all the time: alone and beside it in turn.

    python bench/busy.py --step build/bench/cloze-step MODEL.gguf

The foreign process is in a session of its own, as another service would be. On a machine with other
work the two should have it kept away (--own: both sessions get the highest weight of Linux's autogroups,
for which it takes privileges)."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HIGHEST = b"-20"


def claim(own):
    """For preexec_fn: a session of its own, and its weight."""
    def call():
        os.setsid()
        if own:
            with open("/proc/self/autogroup", "wb") as file:
                file.write(HIGHEST)
    return call


def measure(arguments, cache):
    command = [arguments.step, arguments.model, cache, "128", "64", "0", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300,
                          preexec_fn=claim(arguments.own))
    figures = json.loads(done.stdout)
    return {"decode": figures["decode_tok_s"], "prompt": figures["prefill_tok_s"]}


def measure_beside(arguments, cache):
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"],
                            preexec_fn=claim(arguments.own))
    try:
        return measure(arguments, cache)
    finally:
        busy.kill()
        busy.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--step", required=True, help="the program cloze-step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--own", action="store_true", help="keep the machine's other work away")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        measure(arguments, cache)  # packs the model
        rounds = [(measure(arguments, cache), measure_beside(arguments, cache))
                  for _ in range(arguments.rounds)]
    print("| | alone | beside a busy process | share, median | lowest |\n|---|--:|--:|--:|--:|")
    for what in ("decode", "prompt"):
        shares = [beside[what] / alone[what] for alone, beside in rounds]
        alone, beside = (statistics.median(pair[i][what] for pair in rounds) for i in (0, 1))
        print(f"| {what} | {alone:.0f} tokens/s | {beside:.0f} | {statistics.median(shares):.0%} "
              f"| {min(shares):.0%} |")


if __name__ == "__main__":
    main()
