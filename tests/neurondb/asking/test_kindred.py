"""An answer without rows names the other classes of the family."""

from sqlalchemy import Engine

from neurondb import asking
from tests.support.sample_database import Sample


def test_an_empty_answer_names_the_rest_of_the_classes_family(
    sample: Sample, sample_engine: Engine
) -> None:
    of_model: dict[str, dict[str, int]] = {}
    for row in sample.neurons:
        counts = of_model.setdefault(row["model"], {})
        counts[row["class"]] = counts.get(row["class"], 0) + 1
    for model, counts in of_model.items():
        for family in ("strengthening", "weakening"):
            members = {name: n for name, n in counts.items() if name.endswith(family)}
            for asked in (family, f"conditional {family}"):
                lines = asking.why_empty(
                    sample_engine, f"class='{asked}' freq>0.99999 model={model}"
                )
                said = [line for line in lines if "akin" in line]
                if set(members) - {asked}:
                    (line,) = said
                    assert f"{model} has {members.get(asked, 0)} {asked}; akin" in line
                    assert all(f"{n:,} {name}" in line for name, n in members.items())
                else:
                    assert said == []
