"""The smallest models that Cloze takes: one layer, random weights, a byte-level vocabulary."""
import json

import numpy as np

VOCAB, HIDDEN, HEADS, FFN, CONTEXT = 258, 32, 2, 64, 128


def byte_alphabet():
    """The printable stand-ins of GPT-2's byte-level vocabularies, in the order of the bytes."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(byte) if byte in kept else chr(next(extra)) for byte in range(256)]


TOKENS = [*byte_alphabet(), "th", "<|endoftext|>"]
END = len(TOKENS) - 1


def weights(seed=0):
    random = np.random.default_rng(seed)

    def matrix(*shape):
        return (random.standard_normal(shape) * 0.05).astype(np.float32)

    return {
        "embed": matrix(VOCAB, HIDDEN), "norm": np.ones(HIDDEN, np.float32),
        "attn_norm": np.ones(HIDDEN, np.float32), "ffn_norm": np.ones(HIDDEN, np.float32),
        "q": matrix(HIDDEN, HIDDEN), "k": matrix(HIDDEN, HIDDEN), "v": matrix(HIDDEN, HIDDEN),
        "o": matrix(HIDDEN, HIDDEN), "gate": matrix(FFN, HIDDEN), "up": matrix(FFN, HIDDEN),
        "down": matrix(HIDDEN, FFN),
    }


GGUF_NAMES = {
    "embed": "token_embd.weight", "norm": "output_norm.weight",
    "attn_norm": "blk.0.attn_norm.weight", "ffn_norm": "blk.0.ffn_norm.weight",
    "q": "blk.0.attn_q.weight", "k": "blk.0.attn_k.weight", "v": "blk.0.attn_v.weight",
    "o": "blk.0.attn_output.weight", "gate": "blk.0.ffn_gate.weight",
    "up": "blk.0.ffn_up.weight", "down": "blk.0.ffn_down.weight",
}
HF_NAMES = {
    "embed": "model.embed_tokens.weight", "norm": "model.norm.weight",
    "attn_norm": "model.layers.0.input_layernorm.weight",
    "ffn_norm": "model.layers.0.post_attention_layernorm.weight",
    "q": "model.layers.0.self_attn.q_proj.weight", "k": "model.layers.0.self_attn.k_proj.weight",
    "v": "model.layers.0.self_attn.v_proj.weight", "o": "model.layers.0.self_attn.o_proj.weight",
    "gate": "model.layers.0.mlp.gate_proj.weight", "up": "model.layers.0.mlp.up_proj.weight",
    "down": "model.layers.0.mlp.down_proj.weight",
}


def write_gguf(path, seed=0, shards=1):
    """Writes one GGUF file; with shards > 1 `path` names the set, as llama.cpp's tools split it."""
    import gguf

    options = {"split_max_tensors": -(-len(GGUF_NAMES) // shards)} if shards > 1 else {}
    writer = gguf.GGUFWriter(str(path), "llama", **options)
    writer.add_name("Tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCAB)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([1] * END + [3])
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(END)
    writer.add_eos_token_id(END)
    for key, value in weights(seed).items():
        writer.add_tensor(GGUF_NAMES[key], value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_hf(folder, seed=0):
    """Writes a Hugging Face folder: config.json, model.safetensors, tokenizer.json."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": 1,
        "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "vocab_size": VOCAB,
        "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": True, "torch_dtype": "float32", "bos_token_id": END,
        "eos_token_id": END,
    }
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
        "added_tokens": [{"id": END, "content": TOKENS[END], "single_word": False,
                          "lstrip": False, "rstrip": False, "normalized": False, "special": True}],
        "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: id for id, token in enumerate(TOKENS[:END])},
                  "merges": [["t", "h"]]},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": TOKENS[END]}))
    save_file({HF_NAMES[key]: value for key, value in weights(seed).items()},
              str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder
