"""Neurons that raise or lower what attention heads attend to BOS (METHODS §7).

A model has one such run, the newest: another one takes the place of all its rows.
"""

from sqlalchemy import Boolean, Column, Index, Table

from neurondb.schema.columns import (
    CLUSTERED,
    code,
    identity,
    integer,
    key,
    metadata,
    number,
    provenance,
    real,
    reference,
    word,
)

head_runs = Table(
    "head_runs",
    metadata,
    identity("run_id", "run"),
    reference("model_id", "models.model_id", "model; it has one run"),
    integer("bos_token_id", "token that stood for BOS, the one that texts begin with"),
    integer("per_neuron", "heads kept of each neuron on each side"),
    integer("per_head", "neurons kept of each head on each side"),
    integer("n_random", "random directions that the scores are compared with"),
    integer("seed", "seed of these, and of the positions that are kept"),
    integer("n_pairs", "pairs of a neuron and a head in a later layer"),
    real("baseline_std", "standard deviation of the score of a random direction, over all heads"),
    word("ignored", "what of attention the score leaves out, in words", nullable=True),
    reference(
        "dataset_id",
        "dataset_rows.dataset_id",
        "dataset that heads were measured on; NULL of scores alone",
        nullable=True,
    ),
    integer("n_texts", "texts of it that were run", nullable=True),
    integer("n_tokens", "positions of their second halves, which were measured", nullable=True),
    integer("max_len", "tokens a text at most, BOS included", nullable=True),
    real("norm_ratio", "median over heads of norm_ratio (attention_heads)"),
    real("seconds", "seconds that it took"),
    *provenance(),
    Index(None, "model_id"),
    Index(None, "dataset_id"),
)

attention_heads = Table(
    "attention_heads",
    metadata,
    key("run_id", "head_runs.run_id", "run"),
    number("layer", "layer, from 0"),
    number("head", "head, from 0"),
    integer("key_head", "head of the keys that it shares with others (grouped queries)"),
    real("query_norm", "norm of W_Q k_BOS / √d_head: the largest score that a neuron can have"),
    real("baseline_std", "standard deviation of the score of a random direction"),
    integer("n_deactivating", "neurons of earlier layers with a standardised score of 4 or more"),
    integer("n_activating", "those of −4 or less"),
    real("bos_norm", "norm of W_O v_BOS: what the head writes where it attends to BOS alone"),
    real("other_norm", "mean norm of W_O v over the other tokens"),
    real("norm_ratio", "other_norm / bos_norm (the median is 19.4 in universal-neurons §5.3)"),
    real("bos_attention", "mean attention to BOS in the second halves of texts"),
    **CLUSTERED,
)

head_score_counts = Table(
    "head_score_counts",
    metadata,
    key("run_id", "head_runs.run_id", "run"),
    Column(
        "standardised",
        Boolean,
        primary_key=True,
        comment="whether scores are counted in standard deviations of random directions",
    ),
    number("bin", "bin, from 0; bins without scores are left out"),
    real("low", "lower edge of the bin, which belongs to it", nullable=False),
    real("high", "upper edge, which belongs to the next", nullable=False),
    integer("n_neurons", "pairs of a neuron and a head in a later layer"),
    integer("n_random", "pairs of a random direction and a head in a later layer"),
    **CLUSTERED,
)

neuron_head_rows = Table(
    "neuron_head_rows",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    number("head_layer", "layer of the head, later than the neuron's"),
    number("head", "head of this layer, from 0"),
    real("score", "(out/‖out‖)ᵀ W_Q k_BOS / √d_head (METHODS §7)", nullable=False),
    real(
        "standardised",
        "score in standard deviations of that of random directions at this head",
        nullable=False,
    ),
    integer(
        "rank",
        "place among the neuron's heads on the side of its sign, 0 the strongest; NULL beyond",
        nullable=True,
    ),
    integer("head_rank", "place among the head's neurons on this side; NULL beyond", nullable=True),
    Index(None, "head_layer", "head"),
    **CLUSTERED,
)

head_ablations = Table(
    "head_ablations",
    metadata,
    key("run_id", "head_runs.run_id", "run"),
    key("neuron_id", "neurons.neuron_id", "neuron whose writing was taken from the head's query"),
    number("head_layer", "layer of the head"),
    number("head", "head of this layer, from 0"),
    real("score", "the score of the pair (METHODS §7)", nullable=False),
    real("standardised", "the same in standard deviations of random directions", nullable=False),
    integer("n", "positions measured, in the second halves of texts"),
    integer("n_firing", "those where hook_post is above 0, in canonical sign"),
    real("activation", "mean of hook_post, in canonical sign"),
    real("bos_attention", "mean attention to BOS of the model as it is"),
    real("bos_change", "mean of ablated − clean attention to BOS"),
    real("output_norm", "mean norm of the head's output of the model as it is"),
    real("norm_change", "mean of ablated − clean norm of the head's output"),
    real("firing_activation", "as activation, where the neuron fires"),
    real("firing_bos_attention", "as bos_attention, where the neuron fires"),
    real("firing_bos_change", "as bos_change, where the neuron fires"),
    real("firing_output_norm", "as output_norm, where the neuron fires"),
    real("firing_norm_change", "as norm_change, where the neuron fires"),
    real("bos_correlation", "Pearson correlation of hook_post with the change of BOS attention"),
    real("norm_correlation", "Pearson correlation of hook_post with the change of the norm"),
    Index(None, "neuron_id"),
    **CLUSTERED,
)

head_ablation_cases = Table(
    "head_ablation_cases",
    metadata,
    key("run_id", "head_runs.run_id", "run"),
    key("neuron_id", "neurons.neuron_id", "neuron whose writing was taken from the head's query"),
    number("head_layer", "layer of the head"),
    number("head", "head of this layer, from 0"),
    code(
        "case_id",
        "sign_case_names.sign_case_id",
        "code of the sign case that the neuron is in at the query's token",
    ),
    integer("n", "positions measured in the case, in the second halves of texts"),
    real("activation", "mean of hook_post over them, in canonical sign; NULL where there are none"),
    real("bos_attention", "mean attention to BOS of the model as it is"),
    real("bos_change", "mean of ablated − clean attention to BOS"),
    real("output_norm", "mean norm of the head's output of the model as it is"),
    real("norm_change", "mean of ablated − clean norm of the head's output"),
    Index(None, "neuron_id"),
    **CLUSTERED,
)

head_ablation_tokens = Table(
    "head_ablation_tokens",
    metadata,
    key("run_id", "head_runs.run_id", "run"),
    key("neuron_id", "neurons.neuron_id", "neuron"),
    number("head_layer", "layer of the head"),
    number("head", "head of this layer, from 0"),
    number("place", "place among the positions that were drawn, from 0"),
    real("activation", "hook_post, in canonical sign", nullable=False),
    real("bos_clean", "attention to BOS of the model as it is", nullable=False),
    real("bos_ablated", "the same without the neuron in the head's query", nullable=False),
    real("norm_clean", "norm of the head's output of the model as it is", nullable=False),
    real("norm_ablated", "the same without the neuron in the head's query", nullable=False),
    Index(None, "neuron_id"),
    **CLUSTERED,
)
