"""The figures: what each is called, shows and takes.

Nothing here imports altair, so that figures can be listed where none can be drawn.
"""

from typing import Final

from neurondb.figures.figure import BASE_URL, DATASET, LAYER, LAYERS, OTHER, Figure, Parameter
from neurondb.figures.relation_registry import RELATION_FIGURES
from neurondb.figures.series_registry import SERIES_FIGURES
from neurondb.interventions import ESTIMATED_METRICS, METRICS, MODES
from neurondb.reading.arrays import FIGURE_PAIRS

_CONCEPT: Final = (
    Parameter("concept", "the word or phrase; by default that of the newest run"),
    Parameter("run", "a run by its id; by default the newest of the concept", kind=int),
)
_METRIC: Final = Parameter(
    "metric", "what is measured", choices=("entropy", "loss", "rank", "scale")
)
_MODE: Final = Parameter("mode", "what was done to the neurons", choices=MODES)
_DRAWN: Final = Parameter(
    "drawn",
    "how many of each class `ablate-suite --draw` took; by default all, or the most",
    kind=int,
)
_WHERE: Final = Parameter(
    "where", "the set: an expression as `neurondb find` takes it, such as class=weakening", True
)
_COSINE: Final = Parameter("cosine", "pair of vectors", choices=FIGURE_PAIRS)
_UNSIGNED: Final = Parameter(
    "absolute",
    "whether cos(gate, out) is without its sign, as in the paper",
    choices=("yes", "no"),
)
_ALL: Final = (
    Figure(
        name="median-in-out-by-depth",
        title="Median cos(in, out) by depth",
        description="Median of cos(in, out) in every layer of one model or several, from the first "
        "layer to the last, with the region that random pairs fill (after weakening-neurons, "
        "figures 1 and 22, which have layers by their number).",
        several=True,
        together=True,
    ),
    Figure(
        name="median-cosines-by-layer",
        title="Median cosines by layer",
        description="Median and quartiles of the cosines between a neuron's vectors in every "
        "layer, with the region that random pairs fill (weakening-neurons, §3).",
        several=True,
        query="median-cosines-by-layer",
    ),
    Figure(
        name="classes-by-layer",
        title="Read-write classes by layer",
        description="Share of each read-write class among the neurons of every layer "
        "(after weakening-neurons, figures 2, 23 and 24).",
        several=True,
        together=True,
    ),
    Figure(
        name="class-heatmap",
        title="Neurons of every class and layer",
        description="Number of neurons of each read-write class in every layer, in logarithmic "
        "colours: the counts of which `classes-by-layer` draws the shares.",
        parameters=(BASE_URL,),
        several=True,
    ),
    Figure(
        name="cosine-boxplots",
        title="Cosines by layer",
        description="Boxplots of cos(in, out), |cos(gate, out)| and |cos(gate, in)| in every "
        "layer, whiskers from 5% to 95% (after weakening-neurons, figures 25 and 26).",
        parameters=(
            Parameter(
                "absolute",
                "whether cos(gate, out) and cos(gate, in) are without their sign, as in the paper",
                choices=("yes", "no"),
            ),
        ),
        several=True,
    ),
    Figure(
        name="layer-scatter",
        title="Neurons of a layer by their cosines",
        description="cos(gate, out) against cos(in, out) of a layer's neurons, coloured by "
        "cos(gate, in), with the regions of random pairs and the classes' corners "
        "(weakening-neurons, figure 3, a panel at a time); of ungated models the distribution of "
        "cos(in, out).",
        parameters=(
            LAYER,
            Parameter("neuron", "neuron of the layer to mark", kind=int),
            BASE_URL,
        ),
    ),
    Figure(
        name="layer-scatter-grid",
        title="Neurons by their cosines, layer by layer",
        description="cos(gate, out) against cos(in, out) of the neurons of many layers, a panel "
        "each, coloured by cos(gate, in), with the random region and the classes' corners "
        "(weakening-neurons, figures 3, 7 and 27 to 38); of ungated models the distributions of "
        "cos(in, out).",
        parameters=(LAYERS,),
    ),
    Figure(
        name="class-vectors",
        title="Neurons of each read-write class as vectors",
        description="Gate, in and out of a neuron of each of the six classes, drawn from its own "
        "cosines in the plane of gate and in; out is its projection on that plane, whose products "
        "with both are exact (after input-output-functionality, figure 2).",
        parameters=(
            Parameter("neurons", "neurons to draw, as 29.808,3.7; by default one of each class"),
        ),
    ),
    Figure(
        name="frequency-against-cosine",
        title="Activation frequency against a cosine",
        description="Share of tokens on which neurons fire against a cosine of their vectors, as a "
        "two-dimensional histogram of each layer or of some, with the correlation in each "
        "(weakening-neurons, figures 6 and 8, and for the other two cosines figures 9 and 10).",
        parameters=(_COSINE, LAYERS, _UNSIGNED, DATASET),
    ),
    Figure(
        name="frequency-histograms",
        title="Activation frequency against a cosine, of whole models",
        description="Share of tokens on which neurons fire against a cosine of their vectors, as a "
        "two-dimensional histogram of all neurons of each model (after universal-neurons, "
        "figure 9).",
        parameters=(_COSINE, _UNSIGNED, DATASET),
        several=True,
        together=True,
    ),
    Figure(
        name="frequency-by-class",
        title="Activation frequency by class",
        description="How often the neurons of each read-write class fire, beside the other neurons "
        "of the same layers; the means are what weakening-neurons, table 5, lists.",
        parameters=(DATASET,),
        several=True,
    ),
    Figure(
        name="neuron-distribution",
        title="Activations of a neuron",
        description="Histogram of a neuron's activations on a dataset, with its median and its 5% "
        "and 95% quantiles.",
        parameters=(
            LAYER,
            Parameter("neuron", "neuron of the layer", required=True, kind=int),
            Parameter("quantity", "post, pre or pre_linear", choices=("post", "pre", "pre_linear")),
            DATASET,
            Parameter("scale", "of the shares", choices=("linear", "log")),
        ),
    ),
    Figure(
        name="token-spikes",
        title="Neurons that encode a token",
        description="Normalised probability of a token under the LM head for every neuron's in "
        "vector, of gated neurons for −in too, over the layers (after specialised-feature-neurons, "
        "figure 1, whose layers count from 1).",
        parameters=(
            Parameter("token", "the token's text, as ' dog', or its id, as '#5679'", required=True),
            BASE_URL,
        ),
    ),
    Figure(
        name="comparison-migration",
        title="Migration between classes",
        description="How many neurons went from which read-write class to which between two "
        "compared models, such as before and after fine-tuning.",
        parameters=(OTHER,),
    ),
    Figure(
        name="comparison-cosines",
        title="Cosines between two models",
        description="Distribution over every layer's neurons of the cosine between a vector before "
        "and after, of two compared models.",
        parameters=(OTHER,),
    ),
    *SERIES_FIGURES,
    Figure(
        name="vocabulary-moments",
        title="What out writes to the vocabulary",
        description="Skewness and kurtosis of a layer's out vectors over the vocabulary, coloured "
        "by prediction, suppression and partition neurons (universal-neurons §5.1).",
        parameters=(LAYER, BASE_URL),
    ),
    Figure(
        name="vocabulary-moments-by-layer",
        title="What out writes to the vocabulary, by layer",
        description="Percentiles of kurtosis, skewness and variance of cos(U, out) in every layer, "
        "the skewness of neurons with a kurtosis above 10, and the share of prediction, "
        "suppression and partition neurons (after universal-neurons, figures 6 and 23, which have "
        "kurtosis and skewness only).",
        several=True,
    ),
    Figure(
        name="logit-effects",
        title="What neurons do to the logits of all tokens",
        description="Histogram of cos(U, out) over the vocabulary, split by the property of tokens "
        "that explains most of its skewness or variance: of the most extreme prediction, "
        "suppression and partition neuron, or of a neuron that is named (as universal-neurons, "
        "figure 5, of other neurons).",
        parameters=(
            Parameter("layer", "with neuron: a neuron, by default one of each role", kind=int),
            Parameter("neuron", "with layer: a neuron that has a histogram", kind=int),
            Parameter("property", "another property of tokens that it has a histogram by"),
        ),
        several=True,
    ),
    Figure(
        name="properties-by-percentile",
        title="A set of neurons within its layers",
        description="Percentiles, among all neurons of the same layer, of a set of neurons by each "
        "of their properties: norms, cosines, biases, moments over the vocabulary and of "
        "activations, frequencies (after universal-neurons, figure 3, whose set is the universal "
        "neurons).",
        parameters=(_WHERE, DATASET),
        several=True,
    ),
    Figure(
        name="properties-by-layer",
        title="A set of neurons beside all others",
        description="Medians and quartiles in every layer of eight properties, of a set of neurons "
        "and of all others (after universal-neurons, figure 15, whose set is the universal "
        "neurons).",
        parameters=(_WHERE, DATASET),
        several=True,
    ),
    Figure(
        name="ablation-effects",
        title="Effects of removing classes of neurons",
        description="Mean clean − ablated of a metric when all neurons of a class are removed, "
        "under each condition, beside as many random neurons of the same layers: the means of what "
        "weakening-neurons §4 shows as histograms.",
        parameters=(
            Parameter("metric", "what is measured", choices=("entropy and loss", *METRICS)),
            Parameter("mode", "what was done to the neurons", choices=MODES),
        ),
    ),
    Figure(
        name="ablation-histogram",
        title="Change of a metric by token",
        description="How many tokens a run on a set of neurons changed by how much, beside random "
        "neurons of the same layers, on a logarithmic axis (after the panels of weakening-neurons, "
        "figures 5 and 14 to 21).",
        parameters=(
            Parameter("metric", "what is measured", choices=("entropy", "loss", "rank", "scale")),
            Parameter(
                "run", "number of the run; by default the last that is no baseline", kind=int
            ),
        ),
    ),
    Figure(
        name="ablation-histograms",
        title="Changes of a metric by token when a class is removed",
        description="How many tokens the removal of a class changes by how much, beside as many "
        "random neurons of the same layers, and where its neurons have given signs only: six "
        "histograms with logarithmic axes (after weakening-neurons, figure 5, whose axis of "
        "changes is linear).",
        parameters=(
            _METRIC,
            Parameter("rw_class", "read-write class; by default weakening"),
            _MODE,
            _DRAWN,
        ),
    ),
    Figure(
        name="ablation-grid",
        title="Changes of a metric by token, of every class and condition",
        description="How many tokens the removal of each class changes by how much, at every token "
        "and where its neurons have given signs, with random neurons of the same layers as a line: "
        "a row for each class, a column for each condition (after weakening-neurons, figures 14 to "
        "21: entropy, loss, rank and scale, of 24 and of 243 neurons).",
        parameters=(_METRIC, _MODE, _DRAWN),
    ),
    Figure(
        name="neuron-effects",
        title="Effects of removing neurons against their estimates",
        description="Mean clean − ablated of every neuron that was removed alone, against "
        "activation × gradient, its first-order estimate (METHODS §6).",
        parameters=(
            Parameter("metric", "what is measured", choices=ESTIMATED_METRICS),
            BASE_URL,
        ),
    ),
    Figure(
        name="attribute-curves",
        title="Attribute rate by layer",
        description="Attribute rate of the model as it is, with neurons ablated, and with random "
        "ones ablated, and below it the changes against the clean model (after weakening-neurons, "
        "figures 4 and 11 to 13).",
        parameters=(
            Parameter("run", "a run by its id; by default the newest", kind=int),
            Parameter("file", "what `neurondb attributes rate -o FILE.json` wrote, instead"),
        ),
    ),
    Figure(
        name="entropy-curves",
        title="Neurons fixed at values",
        description="Mean scale of the final norm, rank of the correct token, entropy and loss "
        "against what a neuron is fixed at, of entropy neurons and of random ones (after panels c "
        "to f of universal-neurons, figures 7 and 26).",
        parameters=(Parameter("run", "a run by its id; by default the newest", kind=int),),
    ),
    *RELATION_FIGURES,
    Figure(
        name="generation-shares",
        title="Samples that have a text in them",
        description="Share of generated samples that have each counted text in them, of the model "
        "as it is and with neurons held, with 95% intervals (after specialised-feature-neurons, "
        "figure 3).",
        parameters=(
            Parameter("run", "a run by its id; by default the newest that counted", kind=int),
        ),
    ),
    Figure(
        name="clamp-sweeps",
        title="A next token while neurons are held",
        description="Probability of a next token against the value that a neuron is held at, of "
        "sweeps that `neurondb clamp` stored (after specialised-feature-neurons, figure 2). By "
        "default the newest, and those of the same prompt.",
        parameters=(
            Parameter("run", "one sweep, by its id", kind=int),
            Parameter("layer", "with neuron: the sweeps of one neuron", kind=int),
            Parameter("neuron", "with layer: the sweeps of one neuron", kind=int),
        ),
    ),
    Figure(
        name="concept-effects",
        title="What neurons do for a concept",
        description="Change of ln p(concept) with each candidate of a concept run held at the "
        "better of its two ends, by rank, beside random neurons of the same layers; dashed: the "
        "best of these (after specialised-feature-neurons, §3.2 and figure 3).",
        parameters=(*_CONCEPT, BASE_URL),
    ),
    Figure(
        name="concept-sweeps",
        title="A concept while neurons are held",
        description="Probability of a concept, on the mean of the prompts, against the value that "
        "each of its strongest candidates, and of the strongest random neurons, is held at (after "
        "specialised-feature-neurons, figure 2, for phrases too); logarithmic.",
        parameters=_CONCEPT,
    ),
)

FIGURES: Final = {figure.name: figure for figure in _ALL}
"""Name → figure, in the order of their list."""
