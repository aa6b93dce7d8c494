#!/bin/sh
# All that is to be measured on a GPU, in one report: sh benchmarks/gpu.sh
#
#   PYTHON  an interpreter with torch for the card, NeuronDB's dependencies and pytest. Unless it is
#           given: that of .venv or the system's, whichever has all of that, else that of a virtual
#           environment made beside the report, which takes torch from the system where that has it.
#   WHEELS  a folder of wheels to install from, where there is no network.
#   OUT     the folder of report.md and report.json; gpu-report of this folder unless it is given.
#
# Options go to `python -m benchmarks.gpu`: --only SECTION..., --minutes N, --device cpu --tiny.
# The exit status is the number of sections that failed. Installing is not among the ten minutes.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
OUT=${OUT:-$root/benchmarks/gpu-report}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)

has_card() {
    "$1" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null
}
has_all() {
    has_card "$1" && "$1" -c '
import accelerate, hypothesis, jaxtyping, platformdirs, pytest, safetensors, sqlalchemy
import tokenizers, transformers' 2>/dev/null
}

if [ -z "${PYTHON:-}" ]; then
    for PYTHON in "$root/.venv/bin/python" python3 "$OUT/venv/bin/python"; do
        if has_all "$PYTHON"; then break; fi
    done
    if ! has_all "$PYTHON"; then
        PYTHON=$OUT/venv/bin/python
        shared=
        if has_card python3; then shared=--system-site-packages; fi
        [ -x "$PYTHON" ] || python3 -m venv $shared "$OUT/venv"
        from=
        if [ -n "${WHEELS:-}" ]; then from="--no-index --find-links $WHEELS"; fi
        echo "installing into $OUT/venv (torch is 3 GB)" >&2
        # shellcheck disable=SC2086
        "$PYTHON" -m pip install --quiet $from --editable "$root[all]" pytest hypothesis
    fi
fi

cd "$root"
PYTHONPATH=$root HF_HUB_OFFLINE=1 exec "$PYTHON" -m benchmarks.gpu --out "$OUT" "$@"
