"""Where the data folders are: beside the package in a checkout, inside it in a wheel.

A checkout's own database lies in its `db/`; that of a wheel in the user's data directory.
"""

import os
from pathlib import Path

import platformdirs

from neurondb.errors import DatabaseError

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent


def is_checkout() -> bool:
    """Tell whether this package runs from a source checkout rather than from a wheel."""
    return (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "migrations").is_dir()


def find_folder(name: str) -> Path:
    """Return the data folder `name`: queries, migrations or db.

    Raises:
        DatabaseError: when the installation lacks it.
    """
    root = _CHECKOUT if is_checkout() else _PACKAGE / "_folders"
    path = root / name
    if not path.is_dir():
        raise DatabaseError(f"the folder {name!r} is missing from {root}; reinstall neurondb")
    return path


def find_default_database() -> str:
    """Return `$NEURONDB_URL`, else db/neurondb.db of a checkout or of the user's data directory."""
    configured = os.environ.get("NEURONDB_URL")
    if configured:
        return configured
    if is_checkout():
        return str(_CHECKOUT / "db" / "neurondb.db")
    return str(platformdirs.user_data_path("neurondb") / "neurondb.db")
