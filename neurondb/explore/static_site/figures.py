"""Charts of a site of files: a script a chart, and one for each large table that charts share.

A chart's script holds what its specifications for light and for dark have in common once. A table
of all neurons of a layer is named by its content, so that the charts of the layer and of each of
its neurons load the same file.
"""

import json
from pathlib import Path
from typing import Any, Final

_LARGE: Final = 10_000
"""Characters from which a table has a file of its own."""


def write_chart(file: Path, light: dict[str, Any], dark: dict[str, Any]) -> None:
    """Write the script of a chart, and those of its large tables unless they are there.

    Args:
        file: the script to write; tables go beside it.
        light: the specification for a light ground.
        dark: the specification for a dark one.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    small, large = {}, []
    for name, rows in (light.get("datasets", {}) | dark.get("datasets", {})).items():
        text = _write_json(rows)
        if len(text) < _LARGE:
            small[name] = rows
            continue
        large.append(name)
        table = file.with_name(f"{name}.js")
        if not table.exists():
            table.write_text(
                f"(window.neurondbData??={{}})[{_write_json(name)}]={text};\n", "utf-8"
            )
    shared = {key: value for key, value in light.items() if dark.get(key) == value}
    content = {
        "datasets": large,
        "shared": shared | {"datasets": small},
        "themes": {
            theme: {key: value for key, value in spec.items() if key not in (*shared, "datasets")}
            for theme, spec in (("light", light), ("dark", dark))
        },
    }
    text = f"(window.neurondbFigures??={{}})[{_write_json(file.name)}]={_write_json(content)};\n"
    file.write_text(text, encoding="utf-8")


def _write_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
