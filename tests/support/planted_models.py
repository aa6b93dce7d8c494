"""Random models with neurons planted in their first layer, and a tokenizer of whole words."""

import math
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS: Final = tuple(f"w{number}" for number in range(60))
SPECIAL: Final = ("<unk>", "<s>")
TOKEN_ID: Final = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
ON, AFTER, ON_ANY = 3, 5, 8
"""Planted neurons of layer 0: on one word, after one (of the ungated model), on any of some."""
PEAK, BEFORE, ANY = "w1", "w2", ("w3", "w4", "w5", "w6")
"""The words that they fire on, after, and on any of which they fire."""

_CODE, _SHARP, _FREQUENCIES = 24, 60.0, 4
_POSITIONS: Final = slice(0, 2 * _FREQUENCIES)
_HERE: Final = slice(8, 8 + _CODE)
_EARLIER: Final = slice(32, 32 + _CODE)
"""Dimensions of the residual stream: of the position, of the word here, of the word before it."""


def write_words_tokenizer(directory: Path) -> None:
    """Write a tokenizer that has a token a word."""
    tokenizer = Tokenizer(models.WordLevel(TOKEN_ID, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    build: Any = transformers.PreTrainedTokenizerFast
    fast = build(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")
    fast.save_pretrained(directory)


def _make_codes() -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    codes = torch.randn(len(TOKEN_ID), _CODE, generator=draw)
    return torch.nn.functional.normalize(codes, dim=1)


def write_gated(directory: Path) -> Path:
    """Write a llama whose attention does nothing, with the planted neurons `ON` and `ON_ANY`."""
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=len(TOKEN_ID), hidden_size=_CODE, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64,
        bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    model: Any = transformers.LlamaForCausalLM(config)
    codes = _make_codes()
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(codes)
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
        mlp = model.model.layers[0].mlp
        for neuron, words in ((ON, (PEAK,)), (ON_ANY, ANY)):
            wanted = torch.stack([codes[TOKEN_ID[word]] for word in words]).sum(0)
            mlp.gate_proj.weight[neuron] = wanted
            mlp.up_proj.weight[neuron] = wanted
    model.save_pretrained(directory)
    write_words_tokenizer(directory)
    return directory


def write_ungated(directory: Path) -> Path:
    """Write a GPT-2 whose only head copies the word before, with all planted neurons.

    Positions are angles: a query turns its own back by one step, so that it fits the key of the
    position before it best, by far.
    """
    torch.manual_seed(2)
    config = transformers.GPT2Config(
        vocab_size=len(TOKEN_ID), n_embd=64, n_head=1, n_layer=1, n_positions=64, n_inner=16,
        bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    model: Any = transformers.GPT2LMHeadModel(config)
    codes, block = _make_codes(), model.transformer.h[0]
    with torch.no_grad():
        _write_embeddings(model, codes)
        _write_attention(block.attn)
        for neuron, where, words in (
            (ON, _HERE, (PEAK,)), (AFTER, _EARLIER, (BEFORE,)), (ON_ANY, _HERE, ANY)
        ):  # fmt: skip
            block.mlp.c_fc.weight[:, neuron] = 0
            wanted = torch.stack([codes[TOKEN_ID[word]] for word in words]).sum(0)
            block.mlp.c_fc.weight[where, neuron] = wanted
            block.mlp.c_fc.bias[neuron] = 0
    model.save_pretrained(directory)
    write_words_tokenizer(directory)
    return directory


def _write_embeddings(model: Any, codes: torch.Tensor) -> None:
    words, positions = model.transformer.wte.weight, model.transformer.wpe.weight
    words.zero_()
    positions.zero_()
    words[:, _HERE] = codes
    step = torch.arange(len(positions))
    for i in range(_FREQUENCIES):
        angle = step * math.pi / 2 / 2**i
        positions[:, 2 * i], positions[:, 2 * i + 1] = torch.cos(angle), torch.sin(angle)


def _write_attention(attention: Any) -> None:
    weight, width = attention.c_attn.weight, attention.c_attn.weight.shape[0]
    weight.zero_()
    attention.c_attn.bias.zero_()
    for i in range(_FREQUENCIES):
        back = math.pi / 2 / 2**i
        turn = torch.tensor([[math.cos(back), -math.sin(back)], [math.sin(back), math.cos(back)]])
        of_pair = slice(2 * i, 2 * i + 2)
        weight[of_pair, of_pair] = _SHARP * turn
        weight[of_pair, width + 2 * i : width + 2 * i + 2] = torch.eye(2)
    weight[_HERE, 2 * width : 2 * width + _CODE] = torch.eye(_CODE)
    attention.c_proj.weight.zero_()
    attention.c_proj.bias.zero_()
    attention.c_proj.weight[:_CODE, _EARLIER] = torch.eye(_CODE)
