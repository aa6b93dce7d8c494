"""Neurons of one model by the cosines between their vectors: neighbours, and connections.

METHODS §8; universal-neurons App. C.2 and §5.2. Vectors are those of METHODS §1, in canonical sign.
A model has one run at most, and what its neurons have is of that run.
"""

from sqlalchemy import Column, Double, ForeignKey, Index, SmallInteger, String, Table

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
)

neighbour_runs = Table(
    "neighbour_runs",
    metadata,
    identity("run_id", "run"),
    reference("model_id", "models.model_id", "model"),
    integer("n_top", "entries of each list: of a vector, and of a sign of the cosine"),
    real("threshold", "|cosine| from which all neighbours are stored", nullable=False),
    integer("n_directions", "random directions that the baselines are of"),
    integer("seed", "seed of these"),
    real("random_std", "standard deviation of a cosine with a random direction", nullable=False),
    integer("n_cut", "lists of neighbours that have more beyond the threshold than are stored"),
    real("seconds", "seconds that it took"),
    *provenance(),
    Index(None, "model_id"),
)

neighbour_rows = Table(
    "neighbour_rows",
    metadata,
    key("neuron_id", "neurons.neuron_id", "neuron"),
    code("vector_id", "vectors.vector_id", "the vector of both that is compared"),
    Column(
        "side",
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="1 in the list of the nearest, −1 in that of the most nearly opposite",
    ),
    number("rank", "place in the list; 0 is the strongest"),
    integer("other_id", "the other neuron's neuron_id, of any layer of the model"),
    real("cosine", "cosine of their two vectors, in canonical sign", nullable=False),
    **CLUSTERED,
)

connection_rows = Table(
    "connection_rows",
    metadata,
    key("writer_id", "neurons.neuron_id", "neuron that writes, with out"),
    code("vector_id", "vectors.vector_id", "what the other one reads with: gate or in"),
    key("reader_id", "neurons.neuron_id", "neuron of a later layer that reads"),
    real("cosine", "cosine of the two vectors, in canonical sign", nullable=False),
    integer(
        "downstream_rank",
        "the reader's place among the writer's of this vector and sign; NULL if beyond the list",
        nullable=True,
    ),
    integer(
        "upstream_rank",
        "the writer's place among the reader's of this vector and sign; NULL if beyond the list",
        nullable=True,
    ),
    Index(None, "reader_id"),
    **CLUSTERED,
)

connection_layers = Table(
    "connection_layers",
    metadata,
    key("run_id", "neighbour_runs.run_id", "run"),
    code("vector_id", "vectors.vector_id", "what the later layer reads with: gate or in"),
    number("writer_layer", "layer that writes, from 0"),
    number("reader_layer", "layer that reads, from 0"),
    real("mean", "mean of the cosines of all pairs of a neuron of the one and one of the other"),
    real("rms", "root of their mean square; with random directions it is the run's random_std"),
    real("smallest", "the smallest of them"),
    real("largest", "the largest"),
    **CLUSTERED,
)

neighbour_baselines = Table(
    "neighbour_baselines",
    metadata,
    key("run_id", "neighbour_runs.run_id", "run"),
    Column("relation", String, primary_key=True, comment="neighbour, downstream or upstream"),
    Column(
        "vector_id",
        SmallInteger,
        ForeignKey("vectors.vector_id"),
        primary_key=True,
        comment="the vector that neighbours are by, or that connections are read with",
    ),
    number("layer", "layer of the neuron in whose place a direction is; −1: neighbours have none"),
    Column(
        "quantile",
        Double,
        primary_key=True,
        autoincrement=False,
        comment="quantile over random directions, from 0 to 1",
    ),
    real("cosine", "the largest cosine that a direction has, at this quantile", nullable=False),
    **CLUSTERED,
)
