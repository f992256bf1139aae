#!/usr/bin/env python3
"""Makes the tiny random models of tests/data/models with the logits that transformers computes.

    python tests/tools/make_reference_models.py tests/data/models      (transformers, torch, gguf)

One folder a model: config.json, model.safetensors (bfloat16), tokenizer.json; `reference.bin` holds
what transformers computes in float32 from the same weights:

    u32 tokens, u32 vocab | u32 token[tokens] | f32 logits[tokens][vocab]      little-endian

`llama-gguf` is the model of `llama` as a GGUF file, with the rows of Q and K permuted as
llama.cpp's converter does it. Sequences run well past the sliding windows and the original contexts.
"""
import json
import pathlib
import shutil
import struct
import sys

import gguf
import numpy
import torch
import transformers

VOCAB = 50
TOKENS = 72
COMMON = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
              num_attention_heads=4, num_key_value_heads=2, head_dim=16,
              max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def rope(rope_type, theta=10000.0, **settings):
    return dict(rope_theta=theta, rope_type=rope_type, **settings)


def factors(first, last, count):
    return [round(float(x), 4) for x in numpy.linspace(first, last, count)]


MODELS = {
    "llama": ("LlamaConfig", dict(max_position_embeddings=1024)),
    "llama-bias": ("LlamaConfig", dict(attention_bias=True, mlp_bias=True,
                                       tie_word_embeddings=True)),
    "llama-linear": ("LlamaConfig", dict(rope_parameters=rope("linear", factor=4.0))),
    "llama-dynamic": ("LlamaConfig", dict(max_position_embeddings=32,
                                          rope_parameters=rope("dynamic", factor=4.0))),
    "llama-llama3": ("LlamaConfig", dict(rope_parameters=rope(
        "llama3", 500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=32))),
    "llama-yarn": ("LlamaConfig", dict(rope_parameters=rope(
        "yarn", 500.0, factor=4.0, original_max_position_embeddings=32))),
    "mistral-window": ("MistralConfig", dict(sliding_window=16)),
    "mistral-nemo": ("MistralConfig", dict(sliding_window=None, head_dim=32)),
    "smollm3": ("SmolLM3Config", dict(num_hidden_layers=4, tie_word_embeddings=True,
                                      no_rope_layers=[1, 1, 1, 0])),
    "qwen2": ("Qwen2Config", dict(tie_word_embeddings=True)),
    "qwen2-window": ("Qwen2Config", dict(num_hidden_layers=3, use_sliding_window=True,
                                         sliding_window=16, max_window_layers=1)),
    "qwen3": ("Qwen3Config", {}),
    "gemma3": ("Gemma3TextConfig", dict(
        hidden_size=64, num_hidden_layers=3, query_pre_attn_scalar=24,
        sliding_window=16, final_logit_softcapping=8.0,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters=dict(full_attention=rope("linear", 1000000.0, factor=8.0),
                             sliding_attention=rope("default")))),
    "phi3": ("Phi3Config", dict(num_attention_heads=2, num_key_value_heads=1,
                                sliding_window=16)),
    "phi3-longrope": ("Phi3Config", dict(
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        original_max_position_embeddings=32,
        sliding_window=None,
        rope_parameters=rope("longrope", partial_rotary_factor=0.5,
                             short_factor=factors(1, 1.4, 4), long_factor=factors(1.5, 6, 4),
                             original_max_position_embeddings=32))),
}


def randomise(model):
    """Weights wide enough that every part of the model shows in the logits."""
    generator = torch.Generator().manual_seed(20240607)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name:
            base = 0.0 if "gemma" in type(model).__name__.lower() else 1.0
            value = base + 0.2 * noise
        elif name.endswith("bias"):
            value = 0.3 * noise
        elif "embed" in name or "lm_head" in name:
            value = 0.8 * noise
        else:
            value = noise * (1.4 / parameter.shape[1] ** 0.5)
        parameter.data = value.to(torch.bfloat16).to(torch.float32)


def logits_of(name, model, tokens):
    ids = torch.tensor([tokens])
    with torch.no_grad():
        if name == "llama-dynamic":  # the base depends on the length: token by token, as generated
            cache, rows = transformers.DynamicCache(), []
            for i in range(len(tokens)):
                out = model(ids[:, i:i + 1], past_key_values=cache, use_cache=True,
                            position_ids=torch.tensor([[i]]))
                rows.append(out.logits[0, 0])
            return torch.stack(rows)
        # The table depends on the length: every prefix on its own. The model has one layer, because
        # a second one would see what transformers computes again when the length passes the switch.
        if name == "phi3-longrope":
            return torch.stack([model(ids[:, :i + 1], use_cache=False).logits[0, -1]
                                for i in range(len(tokens))])
        return model(ids, use_cache=False).logits[0]


def tokenizer():
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for i in range(VOCAB - 3):
        vocab[chr(ord("A") + i)] = i + 3
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [dict(id=i, content=text, single_word=False, lstrip=False, rstrip=False,
                                  normalized=False, special=True)
                             for text, i in list(vocab.items())[:3]],
            "normalizer": None,
            "pre_tokenizer": dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True,
                                  use_regex=True),
            "post_processor": None,
            "decoder": dict(type="ByteLevel", add_prefix_space=True, trim_offsets=True,
                            use_regex=True),
            "model": dict(type="BPE", dropout=None, unk_token="<unk>",
                          continuing_subword_prefix=None, end_of_word_suffix=None, fuse_unk=False, byte_fallback=False,
                          vocab=vocab, merges=[])}


def write_reference(path, tokens, logits):
    with open(path, "wb") as file:
        file.write(struct.pack("<2I", len(tokens), logits.shape[1]))
        file.write(numpy.array(tokens, "<u4").tobytes())
        file.write(logits.float().numpy().astype("<f4").tobytes())


def make(folder, name, config_class, settings):
    config = getattr(transformers, config_class)(**(COMMON | settings))
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    randomise(model)
    model.tie_weights()
    tokens = numpy.random.default_rng(7).integers(3, VOCAB, TOKENS).tolist()
    path = folder / name
    path.mkdir()
    write_reference(path / "reference.bin", tokens, logits_of(name, model, tokens))
    model.to(torch.bfloat16).save_pretrained(path)
    (path / "generation_config.json").unlink(missing_ok=True)
    (path / "tokenizer.json").write_text(json.dumps(tokenizer()))
    return model


def permuted(weight, heads):
    """Rows of Q and K so that RoPE pairs neighbours: what llama.cpp's converter stores."""
    return (weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
            .swapaxes(1, 2).reshape(weight.shape))


def make_gguf(folder, model):
    path = folder / "llama-gguf"
    path.mkdir()
    config = model.config
    writer = gguf.GGUFWriter(path / "llama.gguf", "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_vocab_size(VOCAB)
    vocab = tokenizer()["model"]["vocab"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(list(vocab)[:-1] + ["AB"])
    writer.add_token_types([3] * 3 + [1] * (VOCAB - 3))
    writer.add_token_merges(["A B"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        data = tensor.float().numpy()
        if ".q_proj." in name:
            data = permuted(data, config.num_attention_heads)
        if ".k_proj." in name:
            data = permuted(data, config.num_key_value_heads)
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if data.ndim == 1:
            writer.add_tensor(target, data)
        else:
            bits = gguf.quants.quantize(data, gguf.GGMLQuantizationType.BF16)
            writer.add_tensor(target, bits, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    shutil.copy(folder / "llama" / "reference.bin", path / "reference.bin")


def main():
    folder = pathlib.Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, (config_class, settings) in MODELS.items():
        model = make(folder, name, config_class, settings)
        if name == "llama":
            make_gguf(folder, model)
        print(name, sum(file.stat().st_size for file in (folder / name).iterdir()), "bytes")


if __name__ == "__main__":
    main()
