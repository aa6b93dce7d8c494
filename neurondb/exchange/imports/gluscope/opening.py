"""Which of GLUScope's files a path is, by its ending.

Both hold the same numbers, so one command reads either: a dataset of rows, or the dictionary of
tensors that the dataset was made of.
"""

from pathlib import Path
from typing import Final

from neurondb.errors import TextError
from neurondb.exchange.imports.gluscope.activation_dataset import ActivationDataset
from neurondb.exchange.imports.gluscope.storing import ActivationFile
from neurondb.exchange.imports.gluscope.summary_file import SummaryFile
from neurondb.text_decoding import format_path

_PICKLES: Final = (".pt", ".pth")
_PICKLED_BARE: Final = ".pickle"


def open_activation_file(path: Path) -> ActivationFile:
    """Open a file, or a folder of files, of GLUScope's numbers.

    Args:
        path: Parquet or Arrow files, or a summary that torch saved.

    Raises:
        TextError: when it is none of them.
    """
    if path.suffix == _PICKLED_BARE:
        raise TextError(
            f"{format_path(path)}: unpickling would run whatever code is in it; "
            "save it again by torch.save and give that file"
        )
    if path.suffix in _PICKLES:
        return SummaryFile(path)
    return ActivationDataset(path)
