"""The default model's predictions against recorded float32 ones (tools/make_quality_reference.py)."""
import os
import pathlib
import subprocess

import numpy

from conftest import MODEL, ROOT

# The bounds of the documentation hold over thousands of positions (bench/quality.py); these 384 carry
# a statistical error of about one percent of agreement.
MOST_KL, LEAST_SAME = 0.004, 0.94


def log_softmax(logits):
    logits = logits.astype(numpy.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - numpy.log(numpy.exp(logits).sum(-1, keepdims=True))


def test_predictions_are_those_of_float32(cloze, tmp_path):
    folder = pathlib.Path(os.environ["CLOZE_HOME"]) / "models" / MODEL
    model = next(path for path in sorted(folder.rglob("*.gguf")) if path.is_file())
    recorded = numpy.load(ROOT / "tests/data/quality-reference.npz")
    tokens, ids = recorded["tokens"], recorded["ids"].astype(int)
    expected = recorded["log_probabilities"].astype(numpy.float64)
    program = pathlib.Path(cloze.program).resolve().parents[2] / "bench" / "cloze-logits"
    out = subprocess.run([program, model, tmp_path, str(tokens.shape[1])], input=tokens.tobytes(),
                         capture_output=True, check=True, timeout=300).stdout
    logits = numpy.frombuffer(out, "<f4").reshape(*tokens.shape, -1)
    kl, same = [], []
    for passage in range(len(tokens)):
        ours = log_softmax(logits[passage])
        kept = numpy.take_along_axis(ours, ids[passage], -1)
        share = numpy.exp(expected[passage])
        # what lies outside the recorded tokens counts as one outcome: a lower bound, and a close one
        rest, our_rest = 1 - share.sum(-1), 1 - numpy.exp(kept).sum(-1)
        kl.append((share * (expected[passage] - kept)).sum(-1) +
                  rest * numpy.log(numpy.maximum(rest, 1e-9) / numpy.maximum(our_rest, 1e-9)))
        same.append(ours.argmax(-1) == ids[passage][:, 0])
    assert numpy.mean(kl) <= MOST_KL
    assert numpy.mean(same) >= LEAST_SAME
