"""What two databases have of ablations, for comparison: all but the times."""

from pathlib import Path
from typing import Any, Final

from tests.ingest.jobs.ablation_requests import rows

TABLES: Final = (
    *("neuron_sets", "neuron_set_members", "ablation_results", "ablation_histograms"),
    *("changed_tokens", "neuron_effects", "shown_condition_runs"),
)


def stored_runs(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return table → its rows, in the order of all columns; of runs without their times."""
    found = {name: sorted(rows(file, f"SELECT * FROM {name}"), key=repr) for name in TABLES}
    columns = (row[1] for row in rows(file, "PRAGMA table_info(ablation_runs)"))
    kept = ", ".join(name for name in columns if name not in ("created_at", "seconds"))
    found["ablation_runs"] = rows(file, f"SELECT {kept} FROM ablation_runs ORDER BY run_id")
    return found
