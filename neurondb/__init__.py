"""NeuronDB: an SQL-backed database of language-model neurons.

The package reads and writes the database. The jobs that fill it with numbers live in
``ingest`` and are reached only through the ``neurondb.jobs`` entry points, so that asking a
question never loads torch.
"""

__version__ = "0.1.0"
