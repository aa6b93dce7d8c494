"""Tiny seeded random mixtures of experts, built and saved by transformers as `random_models`' are.

`MIXTURES["olmoe"](directory, seed)` writes `directory/config.json` and its weights. Experts are
few and narrow, but every layout has what its published models have: dense layers, shared experts of
a width of their own, biases, alternating gate and in.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.support.random_models import GROUPED, build

N_EXPERTS = 4
PER_TOKEN = 2
WIDTH = 12
COMMON: Mapping[str, object] = {**GROUPED, "num_experts_per_tok": PER_TOKEN}
NARROW: Mapping[str, object] = {**COMMON, "moe_intermediate_size": WIDTH, "intermediate_size": 40}
DEEPSEEK: Mapping[str, object] = {
    **NARROW,
    "num_hidden_layers": 3,
    "num_key_value_heads": 4,
    "n_routed_experts": N_EXPERTS,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "topk_group": 1,
}


def _mixture(model_type: str, shape: Mapping[str, object], **own: object) -> Callable[..., Path]:
    return partial(build, model_type, {**shape, **own})


MIXTURES: Mapping[str, Callable[[Path, int], Path]] = {
    "olmoe": _mixture("olmoe", COMMON, num_experts=N_EXPERTS, intermediate_size=WIDTH),
    "mixtral": _mixture("mixtral", COMMON, num_local_experts=N_EXPERTS, intermediate_size=WIDTH),
    "qwen2_moe": _mixture(
        "qwen2_moe",
        NARROW,
        num_hidden_layers=3,
        num_experts=N_EXPERTS,
        shared_expert_intermediate_size=20,
        mlp_only_layers=[0],
    ),
    "qwen3_moe": _mixture("qwen3_moe", NARROW, num_experts=N_EXPERTS, head_dim=8),
    "gpt_oss": _mixture(
        "gpt_oss", COMMON, num_local_experts=N_EXPERTS, intermediate_size=WIDTH, head_dim=8
    ),
    "deepseek_v2": _mixture("deepseek_v2", DEEPSEEK, n_shared_experts=2, n_group=1),
    "deepseek_v3": _mixture("deepseek_v3", DEEPSEEK, n_shared_experts=1, n_group=2, q_lora_rank=8),
}
"""Every supported mixture of experts, by its `model_type`."""
