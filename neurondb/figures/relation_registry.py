"""The figures of relations: of neurons to tests of tokens, other models, each other, and heads.

Like `registry.py`, which lists them, this imports no altair.
"""

from typing import Final

from neurondb.figures.figure import Figure, Parameter

_UNIVERSALITY_RUN: Final = Parameter("run", "a run by its id; by default the newest", kind=int)
RELATION_FIGURES: Final = (
    Figure(
        name="families-by-layer",
        title="Families of neurons by layer",
        description="Share of each layer's neurons that each family of token tests explains best, "
        "of those whose best test explains more of the variance of hook_post than a limit (after "
        "universal-neurons §4.3, which tells in which layers each family is found).",
        parameters=(Parameter("least", "the limit, a score; by default 0.1"),),
        several=True,
    ),
    Figure(
        name="family-activations",
        title="What neurons of a family do",
        description="Quantiles of hook_post of the neurons that a family of token tests explains "
        "best: where the best test holds and elsewhere, of a word by its place in words; by "
        "position; or by the token that comes next (after universal-neurons, figures 4 and 16 to "
        "22, and figure 25 on the right, which show whole distributions).",
        parameters=(
            Parameter("family", "a family; by default unigram, position or next_token"),
            Parameter(
                "by", "what tokens are parted by", choices=("test", "position", "next_token")
            ),
        ),
    ),
    Figure(
        name="universality-summary",
        title="Neurons matched with those of other models",
        description="Distribution of a neuron's mean largest correlation with neurons of other "
        "models, of its rotated baseline, and of the difference, the excess; largest against "
        "smallest over the models; and the layers of best matches (after universal-"
        "neurons, figures 2, 12 and 13).",
        parameters=(_UNIVERSALITY_RUN,),
    ),
    Figure(
        name="universality-distributions",
        title="Largest correlations with neurons of other models",
        description="Distribution over neurons of the mean largest correlation, of the rotated "
        "baseline, and of the excess, of one model or several (after universal-neurons, "
        "figure 11).",
        several=True,
        together=True,
    ),
    Figure(
        name="universality-tails",
        title="Neurons whose correlation is above a threshold",
        description="Share of neurons whose mean largest correlation, baseline or excess is above "
        "a threshold, of one model or several (after universal-neurons, figure 14).",
        several=True,
        together=True,
    ),
    Figure(
        name="universality-cases",
        title="Universality by sign case",
        description="Of each layer, the median excess correlation of neurons with those of other "
        "models, and the share that is universal: over all tokens, and in each sign case, where "
        "both neurons do what they do in this case and nothing elsewhere.",
        parameters=(_UNIVERSALITY_RUN,),
    ),
    Figure(
        name="nearest-cosines",
        title="Nearest and most nearly opposite neurons",
        description="Cosine of each neuron's gate, in and out with that of the nearest neuron of "
        "the model, and of the most nearly opposite one, over what random directions have (after "
        "universal-neurons, figure 10).",
        several=True,
    ),
    Figure(
        name="connection-strengths",
        title="Connections from each layer to each later one",
        description="The largest |cosine| of what a neuron of one layer writes and one of a later "
        "layer reads with gate, or with in; or the root mean square of all of them, in units of "
        "that of random directions.",
        parameters=(
            Parameter(
                "value",
                "the strongest pair of each two layers, or the root mean square of all pairs",
                choices=("largest", "all"),
            ),
        ),
        several=True,
    ),
    Figure(
        name="head-scores",
        title="Neurons that turn attention heads off and on",
        description="Distribution of the score (out/‖out‖)ᵀ W_Q k_BOS / √d_head over all pairs of "
        "a neuron and a head of a later layer, beside random directions; above 0, firing raises "
        "the head's attention to BOS and so deactivates it (after universal-neurons, figure 8a).",
    ),
    Figure(
        name="head-ablations",
        title="Neurons taken out of heads' queries",
        description="Change of a head's attention to BOS, and of the norm of its output, against "
        "the activation of a neuron that is taken out of the head's query alone, a point a token "
        "(after universal-neurons, figures 8b, 8c and 27).",
        parameters=(
            Parameter("layer", "with neuron: the pairs of one neuron", kind=int),
            Parameter("neuron", "with layer: the pairs of one neuron", kind=int),
        ),
    ),
)
"""In the order of their list."""
