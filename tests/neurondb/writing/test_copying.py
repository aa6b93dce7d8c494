"""What a copy of a database tells of this machine."""

import pytest

from neurondb.writing.copying import strip_directory


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-3B"),
        ("/data/x/texts.jsonl", "texts.jsonl"),
        ("~/texts", "texts"),
        ("../up/texts.txt", "texts.txt"),
        (r"C:\Users\ada\model", "model"),
        ("texts.txt", "texts.txt"),
        ("/", "/"),
    ],
)
def test_of_a_path_the_last_part_is_told(source: str, shown: str) -> None:
    assert strip_directory(source) == shown
