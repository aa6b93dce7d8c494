"""Every error that NeuronDB raises on purpose.

    NeuronDBError                  one line: what was wrong, with the value, and what to do
    ├── UsageError                 the request itself is malformed (exit code 2)
    │   └── ExpressionError        a `find` expression cannot be understood
    ├── DatabaseError              the database cannot be opened, is locked, older or newer
    │   └── UnknownNameError       no such model, layer, neuron, token or dataset in it
    ├── ModelError                 a model cannot be read
    │   ├── CheckpointError        a file is missing, truncated, mis-shaped or holds NaN
    │   ├── UnsupportedModelError  its architecture has no adapter
    │   ├── LackingModelError      it has no gates, no chat template, too short a context
    │   └── HubError               it cannot be downloaded
    ├── TextError                  a dataset holds no text or cannot be read
    ├── IngestError                a job cannot go on: other settings, other weights
    └── LiveError                  the model behind a site gives no answer now

Only the command line turns them into exit codes. 2, a UsageError: the request cannot be right
whatever the database, the models and the files hold, because it is malformed or names something of
the program's that there is not (an option, a query, a figure, a class, a column). 1, the rest: a
well-formed request that this database or this machine cannot answer.
"""


class NeuronDBError(Exception):
    """Base of all; its message is one line that a user can act on."""


class UsageError(NeuronDBError):
    """The request itself is malformed, whatever the database holds."""


class ExpressionError(UsageError):
    """A `find` expression cannot be understood."""


class DatabaseError(NeuronDBError):
    """The database cannot be opened, read or written as it is."""


class UnknownNameError(DatabaseError):
    """Nothing of that name is in the database."""


class ModelError(NeuronDBError):
    """A model cannot be read."""


class CheckpointError(ModelError):
    """A checkpoint's file is missing, truncated, mis-shaped or holds values that are no numbers."""


class UnsupportedModelError(ModelError):
    """The model's architecture has no adapter."""


class LackingModelError(ModelError):
    """What was asked takes something that the model has not, such as gates or a longer context."""


class HubError(ModelError):
    """The model or dataset cannot be downloaded from the hub."""


class TextError(NeuronDBError):
    """A dataset holds no text or cannot be read."""


class IngestError(NeuronDBError):
    """An ingestion job cannot go on."""


class LiveError(NeuronDBError):
    """The model behind a site gives no answer now: it is busy, too slow, or its process ended."""
