#!/bin/sh
# All that is to be measured on a GPU, in one report: sh benchmarks/gpu.sh
#
#   PYTHON  an interpreter with torch for the card, NeuronDB's dependencies and pytest; unless it is
#           given, .venv's, or that of a virtual environment made beside the report.
#   OUT     the folder of report.md and report.json; gpu-report of this folder unless it is given.
#
# Options go to `python -m benchmarks.gpu`: --only SECTION..., --minutes N, --device cpu --tiny.
# The exit status is the number of sections that failed.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
OUT=${OUT:-$root/benchmarks/gpu-report}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)

if [ -z "${PYTHON:-}" ]; then
    PYTHON=$root/.venv/bin/python
    if [ ! -x "$PYTHON" ]; then
        PYTHON=$OUT/venv/bin/python
        [ -x "$PYTHON" ] || python3 -m venv "$OUT/venv"
        "$PYTHON" -m pip install --quiet --editable "$root[all]" pytest hypothesis
    fi
fi

cd "$root"
PYTHONPATH=$root HF_HUB_OFFLINE=1 exec "$PYTHON" -m benchmarks.gpu --out "$OUT" "$@"
