"""The door between the command line and the jobs: what is asked for, and how progress is told.

Jobs are found by the entry points of the group `neurondb.jobs`, never by import, so that
`neurondb` does not know who computes. What those that steer a model are asked for and hand back is
in `jobs.steering` and `jobs.steered`, of one neuron at a time in `jobs.effects`.
"""

from importlib.metadata import entry_points
from typing import Any

from neurondb.errors import NeuronDBError
from neurondb.jobs.ablating import (
    AblationReport,
    AblationRequest,
    AblationSuiteRequest,
    NeuronSelection,
    RerunRequest,
    SelectionKind,
    TextsRequest,
)
from neurondb.jobs.ingesting import (
    READ_TEXTS,
    STAGES,
    DemoInputs,
    DemoRequest,
    IngestReport,
    IngestRequest,
    MergeRequest,
    Preprocessing,
    VerifyReport,
    wanted_stages,
)
from neurondb.jobs.loading import loading
from neurondb.jobs.looking import (
    CompareRequest,
    LmHeadRequest,
    SplitRequest,
)
from neurondb.jobs.progress import (
    Advance,
    Progress,
)

__all__ = [
    "READ_TEXTS",
    "STAGES",
    "AblationReport",
    "AblationRequest",
    "AblationSuiteRequest",
    "Advance",
    "CompareRequest",
    "DemoInputs",
    "DemoRequest",
    "IngestReport",
    "IngestRequest",
    "LmHeadRequest",
    "MergeRequest",
    "NeuronSelection",
    "Preprocessing",
    "Progress",
    "RerunRequest",
    "SelectionKind",
    "SplitRequest",
    "TextsRequest",
    "VerifyReport",
    "job",
    "wanted_stages",
]


def job(name: str) -> Any:
    """Return the job registered under `name`.

    Raises:
        NeuronDBError: when none is installed.
    """
    for entry in entry_points(group="neurondb.jobs", name=name):
        with loading(name):
            return entry.load()
    raise NeuronDBError(f"the job {name!r} is not installed; reinstall neurondb")
