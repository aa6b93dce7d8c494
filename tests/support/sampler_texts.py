"""The bundled texts, with a few in other scripts, as they are searched in tests."""

import json
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).parents[2] / "ingest" / "bundled" / "sampler.jsonl"
OTHER_SCRIPTS: Final = (
    "彼は日本人です。Tokyo 東京 🐕",
    "Été à la plage; ETE, été — naïve_name x2 co-operate",
    "สวัสดีชาวโลก, Привет мир! ПРИВЕТ",
    'a\u0301b ab; "quoted" it\'s NEAR(a b) 1.5e3 www.example.com/a-b?c=d#e user@host.org',
)


def read_sampler_texts() -> tuple[str, ...]:
    """Return the texts, the bundled ones first."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    return (*(str(json.loads(line)["text"]) for line in lines), *OTHER_SCRIPTS)
