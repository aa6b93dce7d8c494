"""What is left out before difflib looks for tokens alike is what difflib would not have named."""

import difflib

from hypothesis import given
from hypothesis import strategies as st

from neurondb.asking.token_names import _sharing_letters

WORDS = st.text(alphabet="abcdeé ", min_size=1, max_size=8)


@given(WORDS, st.lists(WORDS, max_size=30))
def test_leaving_out_what_shares_too_few_letters_changes_no_match(
    token: str, candidates: list[str]
) -> None:
    near = _sharing_letters(token, candidates)

    assert difflib.get_close_matches(token, near) == difflib.get_close_matches(token, candidates)
