"""A neuron as the dictionary that dashboards of features are made of, in SAEDashboard's names.

The fields are those of `NeuronpediaDashboardFeature` and `NeuronpediaDashboardActivation`
(`sae_dashboard/neuronpedia/neuronpedia_dashboard.py` of jbloomAus/SAEDashboard); Neuronpedia's rows
have the same. A feature of a dictionary is never negative, a neuron is: its examples of all sign
cases are there, with signed values of hook_post, and what these tools call the maximum is that of
the positive ones. `frac_nonzero` is the share of tokens with hook_post > 0, and the histogram
counts every eighth position. What has no counterpart in a neuron is empty.
"""

from itertools import pairwise
from typing import Any, Final

from neurondb.exchange.exports.evidence import Evidence, Passage
from neurondb.reading.activations import Activations
from neurondb.reading.vocabulary import TokenList

_DIGITS: Final = 4
"""Decimals of the values; SAEDashboard rounds to three."""
_EMPTY: Final = (
    *("neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1"),
    *("correlated_neurons_indices", "correlated_neurons_l1", "correlated_neurons_pearson"),
    *("correlated_features_indices", "correlated_features_l1", "correlated_features_pearson"),
    *("logits_hist_data_bar_heights", "logits_hist_data_bar_values", "decoder_weights_dist"),
)
"""Lists that say of a feature what is not known of a neuron, or means nothing for it."""


def make_dashboard(evidence: Evidence, tokens_in_prompt: int) -> dict[str, Any]:
    """Return a neuron as SAEDashboard's feature.

    Args:
        evidence: what is known of the neuron.
        tokens_in_prompt: how many tokens of a text the model read at most.
    """
    promoted, promoted_values = _list_tokens(evidence.promoted)
    suppressed, suppressed_values = _list_tokens(evidence.suppressed)
    activations = evidence.activations
    values, heights = _draw_histogram(activations)
    return {
        "feature_index": evidence.neuron,
        **{name: [] for name in _EMPTY},
        "neg_str": suppressed,
        "neg_values": suppressed_values,
        "pos_str": promoted,
        "pos_values": promoted_values,
        "frac_nonzero": 0.0 if activations is None else activations.post_positive or 0.0,
        "freq_hist_data_bar_values": values,
        "freq_hist_data_bar_heights": heights,
        "n_prompts_total": 0 if activations is None else activations.dataset.n_texts,
        "n_tokens_in_prompt": tokens_in_prompt,
        "dataset": "" if activations is None else activations.dataset.name,
        "activations": [make_activation(passage) for passage in evidence.passages],
    }


def make_activation(passage: Passage) -> dict[str, Any]:
    """Return an example; `bin_min` −1 is what SAEDashboard writes for the top activations."""
    values = [round(value, _DIGITS) for value in passage.values]
    return {
        "bin_min": -1,
        "bin_max": values[passage.peak],
        "bin_contains": -1,
        "tokens": list(passage.tokens),
        "values": values,
        "qualifying_token_index": passage.peak,
    }


def _list_tokens(found: TokenList | None) -> tuple[list[str], list[float]]:
    """Return tokens and their logits per unit of hook_post; cosines where norms are not stored.

    The largest logits come first, though the tokens were chosen by their cosines.
    """
    tokens = () if found is None else found.tokens
    scored = [(one.cosine if one.dot is None else one.dot, one.token or "") for one in tokens]
    scored.sort(key=lambda pair: -abs(pair[0]))
    return [token for _, token in scored], [round(score, _DIGITS) for score, _ in scored]


def _draw_histogram(activations: Activations | None) -> tuple[list[float], list[float]]:
    """Return the middles of the bins of hook_post that are not empty, and their counts."""
    histograms = None if activations is None else activations.histograms
    if histograms is None:
        return [], []
    edges = histograms.edges
    middles = [
        2 * edges[0],  # the outer bins are open: twice the last edge stands for them
        *((low + high) / 2 for low, high in pairwise(edges)),
        2 * edges[-1],
    ]
    post = next((one.counts for one in histograms.quantities if one.quantity == "hook_post"), ())
    pairs = [(middle, count) for middle, count in zip(middles, post, strict=False) if count]
    return [middle for middle, _ in pairs], [float(count) for _, count in pairs]
