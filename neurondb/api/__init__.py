"""The Python interface: `import neurondb as ndb`, then `db = ndb.open()`.

>>> import neurondb as ndb
>>> db = ndb.open("sample.db")
>>> db.models[1].model.name
'sample-llama'
>>> rows = db.find("weakening model=sample-llama", order="-freq", limit=5)
>>> rows.columns[:4]
('model', 'name', 'class', 'gate_in')
>>> frame = rows.to_pandas()
>>> len(frame)
5
>>> db.neuron("sample-llama", "1.7").identity.name
'1.7'
>>> db.close()

Asking takes no extra. `ndb.ingest` and `db.ablate` take the extra `ingest`, and data frames the
extra `frames`; without it they raise a `MissingExtraError` that says what to install.
"""

from neurondb.api.database import Database, open  # noqa: A004
from neurondb.api.jobs import ingest
from neurondb.api.neuron import Neuron
from neurondb.api.neuron_group import NeuronGroup
from neurondb.api.result import Result
from neurondb.api.stored_model import StoredModel
from neurondb.errors import NeuronDBError
from neurondb.extras import MissingExtraError

__all__ = [
    "Database",
    "MissingExtraError",
    "Neuron",
    "NeuronDBError",
    "NeuronGroup",
    "Result",
    "StoredModel",
    "ingest",
    "open",
]
