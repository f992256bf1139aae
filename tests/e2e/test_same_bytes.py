"""A request with a seed gives the same answer alone, among others, on any number of threads, and with a
smaller KV budget that preempts. On the default model; the parts have unit tests of their own."""
import concurrent.futures
import pathlib
import re

import serving
from conftest import MODEL

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "examples/character/character.schema.json"
PROMPTS = [f"Give me a character description. Number {number}." for number in range(10)]


def alone(cloze, prompt, threads):
    return cloze("generate", prompt, "-m", MODEL, "--schema", SCHEMA, "-t", "1", "--seed", "5",
                 "-n", "80", "--threads", threads).stdout.strip()


def test_a_seed_gives_the_same_answer_however_it_is_run(cloze):
    wanted = [alone(cloze, prompt, 1) for prompt in PROMPTS[:3]]
    assert [alone(cloze, prompt, 2) for prompt in PROMPTS[:3]] == wanted
    assert len(set(wanted)) == 3
    for budget in ("64M", "5M"):
        with serving.serving(cloze.program, MODEL, "--kv-memory", budget) as server:
            def ask(prompt):
                body = {"prompt": prompt, "json_schema": SCHEMA.read_text(), "temperature": 1,
                        "seed": 5, "max_tokens": 80}
                status, _, text = server.post("/generate", body)
                assert status == 200, text
                return text.decode().strip()

            with concurrent.futures.ThreadPoolExecutor(len(PROMPTS)) as pool:
                answers = list(pool.map(ask, PROMPTS))
            assert [answer for answer in answers[:3]] == wanted


def test_the_guides_answer_takes_few_passes(cloze):
    process = cloze("generate", "Give me a character description.", "-m", MODEL, "--schema", SCHEMA,
                    "-t", "0", "--stats")
    counts = re.search(r"answer (\d+) \((\d+) sampled, (\d+) passes\)", process.stderr)
    tokens, sampled, passes = map(int, counts.groups())
    assert passes <= 14 and passes < sampled < tokens  # rows of guesses save the difference
