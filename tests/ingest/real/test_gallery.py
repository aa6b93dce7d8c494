"""The gallery's numbers are those of a fresh ingest, by the SQL that each figure names."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from neurondb.database import open_existing
from tests.ingest.real.real_ingests import RealIngest

pytestmark = [pytest.mark.real, pytest.mark.slow]
SCRIPT = Path(__file__).parents[3] / "docs" / "gallery.py"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_of_weights_are_those_of_the_gallery(model: RealIngest) -> None:
    gallery = load_script()
    drawn = json.loads(gallery.NUMBERS.read_text(encoding="utf-8"))
    engine = open_existing(str(model.database))
    for name in gallery.WEIGHTS_ALONE:
        found = gallery.summarise(engine, name, model.request.name)
        assert found["rows"] == drawn[name]["rows"], name
        # Baselines are of all pairs here, of a sample there (METHODS §3).
        assert found["means"] == pytest.approx(drawn[name]["means"], abs=2e-3), name
    engine.dispose()
