"""The figures of a series of models: what each is called, shows and takes."""

from typing import Final

from neurondb.figures.figure import Figure, Parameter

_SERIES: Final = Parameter("series", "a series by its number; by default the newest", kind=int)
SERIES_FIGURES: Final = (
    Figure(
        name="class-paths",
        title="Paths through the classes",
        description="How many neurons are in each read-write class in each model of a series, such "
        "as the checkpoints of a training, and from which to which they go at each step: of all "
        "neurons, and of those whose class changes.",
        parameters=(_SERIES,),
    ),
    Figure(
        name="series-moved",
        title="Neurons that moved over a series of models",
        description="Distribution over all neurons of the cosine between a vector and the same "
        "vector in the model before, and in the first model, at each step of a series.",
        parameters=(_SERIES,),
    ),
    Figure(
        name="series-medians",
        title="Median cosines over a series of models",
        description="Median cosine between a neuron's own vectors in each model of a series, of "
        "all neurons and of each layer.",
        parameters=(_SERIES,),
    ),
)
"""In the order in which they are listed."""
