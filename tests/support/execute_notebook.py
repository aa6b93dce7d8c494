"""Runs the cells of a Jupyter notebook, in this process's directory, and writes what they put out.

python -m tests.support.execute_notebook NOTEBOOK EXECUTED

A process of its own, because nbclient leaves its event loop, and the loop's pair of sockets, to
the collector: a ResourceWarning in whatever other test runs then.
"""

import sys
from typing import Any

import nbclient
import nbformat


def main(notebook: str, executed: str) -> None:
    """Run a notebook's cells, and write it with their outputs."""
    content: Any = nbformat.read(notebook, as_version=4)
    nbclient.NotebookClient(content, timeout=600).execute()
    nbformat.write(content, executed)


if __name__ == "__main__":
    main(*sys.argv[1:])
