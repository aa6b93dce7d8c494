"""A neuron whose lists of texts are known, in a copy of the sample database.

Of `gate+_in+` it has 16 examples, texts 101 to 116, in each of which ` dog` stands at the peak, at
position 4, and nowhere else. Text 102 is also the strongest of `gate+_in-`, and so is evidence.
Its ten random controls are texts 121 to 130, of which 123 and 124 have ` dog` too, and 130 is the
second text of `gate+_in-`. So texts 104, 106, …, 116 are held out, and texts 122, 124, 126 and 128
are the controls of a score.
"""

import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, delete, insert, update

from neurondb.contracts.progress import Advance
from neurondb.database import connect, parse_url
from neurondb.schema import codes, tables
from tests.support.places import pack_place
from tests.support.sample_facts import DATASET, VOCABULARY, WIDTH, Sample

MODEL, NAME = "sample-llama", "1.20"
NEURON = WIDTH + 20
DOG, CAT = VOCABULARY.index(" dog"), VOCABULARY.index(" cat")
PEAK, LENGTH = 4, 9
EXAMPLES, CONTROLS = range(101, 117), range(121, 131)
WITH_DOG = {*EXAMPLES, 123, 124}
HELD_OUT = (104, 106, 108, 110, 112, 114, 116)
SCORED_CONTROLS = (122, 124, 126, 128)


class Quiet:
    """Progress that nobody watches."""

    @contextmanager
    def stage(self, _title: str, total: int, unit: str, *, done: int = 0) -> Iterator[Advance]:
        """Open a bar that is not drawn."""
        assert total >= done
        assert unit == "neurons"
        yield lambda n, detail="": None

    def note(self, message: str) -> None:
        """Say nothing."""


def plant(sample: Sample, directory: Path) -> str:
    """Return the path of a copy of the sample database that has the neuron."""
    path = str(shutil.copy(sample.path, directory / "planted.db"))
    engine = connect(parse_url(path), writing=True)
    with engine.begin() as connection:
        for text_id in (*EXAMPLES, *CONTROLS):
            _add_text(connection, text_id)
        _add_lists(connection)
        _add_controls(connection)
    engine.dispose()
    return path


def spell(text_id: int) -> tuple[str, ...]:
    """Return the tokens of a text; the first three say which it is."""
    return tuple(VOCABULARY[i] for i in _list_ids(text_id))


def _list_ids(text_id: int) -> list[int]:
    plain = [i for i, token in enumerate(VOCABULARY) if token.isalnum() and i != DOG]
    digits = [plain[text_id // len(plain) ** i % len(plain)] for i in range(3)]
    ids = [*digits, *[CAT] * (LENGTH - len(digits))]
    ids[PEAK] = DOG if text_id in WITH_DOG else CAT
    return ids


def _add_text(connection: Connection, text_id: int) -> None:
    row = {"text_id": text_id, "dataset_id": DATASET, "ordinal": text_id}
    connection.execute(insert(tables.texts), row | {"text": "".join(spell(text_id))})
    packed = struct.pack(f"<{LENGTH}I", *_list_ids(text_id))
    of_model = {"model_id": 1, "text_id": text_id, "token_ids": packed}
    connection.execute(insert(tables.text_token_ids), of_model)


def _add_lists(connection: Connection) -> None:
    cases = tables.sign_case_rows
    of_neuron = cases.c.neuron_id == NEURON
    connection.execute(update(cases).where(of_neuron).values(post_min=-1, post_max=1))
    strongest = of_neuron & (cases.c.sign_case_id == 0)
    connection.execute(update(cases).where(strongest).values(post_max=50, count=100, freq=0.1))
    rows = tables.example_rows
    connection.execute(delete(rows).where(rows.c.neuron_id == NEURON))
    for case, texts in ((0, EXAMPLES), (1, (102, 130))):
        listed = {"neuron_id": NEURON, "dataset_id": DATASET}
        listed["list_id"] = codes.encode_example_list(case, codes.QUANTITIES.index("hook_post"))
        connection.execute(
            insert(rows),
            [
                pack_place(listed | {"rank": rank, "text_id": text_id, "position": PEAK})
                | {"scaled_value": (50 - rank) * 2.0**28 * (-1) ** case}
                for rank, text_id in enumerate(texts)
            ],
        )


def _add_controls(connection: Connection) -> None:
    key = {"neuron_id": NEURON, "dataset_id": DATASET, "kind_id": 0}
    connection.execute(
        insert(tables.control_example_rows),
        [
            key | {"rank": rank, "text_id": text_id, "position": PEAK, "value": 0.5}
            for rank, text_id in enumerate(CONTROLS)
        ],
    )
