"""English words that say nothing about a subject: the closed classes, put together by class.

They are dropped from attribute sets and from top tokens alike (METHODS §6). Tokens of two
characters or fewer go anyway, so shorter words need no mention.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from neurondb.text_decoding import read_text

SHORTEST: Final = 3
"""Characters of the shortest token that is looked at."""

_CLASSES: Final = {
    "articles and demonstratives": "the this that these those such same other others another",
    "personal pronouns": """
        you she her hers him his they them their theirs our ours your yours its mine
        myself yourself himself herself itself ourselves yourselves themselves oneself one ones""",
    "relative and interrogative words": """
        who whom whose which what where when why how whoever whomever whatever whichever
        wherever whenever however whether""",
    "quantifiers and indefinite pronouns": """
        all any both each either neither every few fewer little less least many more most much
        none some several enough plenty various certain own half
        anybody anyone anything everybody everyone everything nobody nothing
        somebody someone something""",
    "auxiliaries and their forms": """
        are was were been being has have had having does did done doing
        can could may might must shall should will would ought need cannot""",
    "contractions and what tokenizers leave of them": """
        don't doesn't didn't isn't aren't wasn't weren't hasn't haven't hadn't won't wouldn't
        can't couldn't shouldn't mustn't mightn't needn't shan't ain't
        i'm i've i'll i'd you're you've you'll you'd he's he'll he'd she's she'll she'd
        it's it'll it'd we're we've we'll we'd they're they've they'll they'd
        that's that'll there's here's who's what's where's how's let's
        don doesn didn isn aren wasn weren hasn haven hadn won wouldn couldn shouldn mustn""",
    "prepositions": """
        about above across after against along alongside amid among amongst around aside before
        behind below beneath beside besides between beyond despite down during except following
        for from including inside into like near nearby off onto opposite out outside over past
        per regarding round since than through throughout till toward towards under underneath
        unlike until unto upon via with within without worth""",
    "conjunctions": """
        and but nor yet because although though while whilst unless whereas whereby hence thus
        therefore otherwise moreover furthermore nevertheless nonetheless""",
    "adverbs of degree, time and place that any text has": """
        not too very just only also even ever never always often sometimes usually again once
        twice then now soon still already almost nearly quite rather perhaps maybe indeed instead
        here there everywhere somewhere anywhere nowhere away back forth together apart else
        well far further later earlier first last next mostly mainly especially particularly
        generally simply really actually""",
}


@cache
def list_built_in_words() -> frozenset[str]:
    """Return the built-in words, in lower case."""
    return frozenset(word for words in _CLASSES.values() for word in words.split())


def read_stop_words(file: Path | None = None) -> frozenset[str]:
    """Return the built-in words, and those of a file beside them.

    Raises:
        TextError: when the file cannot be read.
    """
    if file is None:
        return list_built_in_words()
    return list_built_in_words() | {normalise_word(word) for word in read_text(file).split()}


def normalise_word(token: str) -> str:
    """Return a token as attributes are compared: without the space around it, without case."""
    return token.strip().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold()


def is_meaningful(word: str, stop_words: frozenset[str]) -> bool:
    """Tell whether a word, `normalise_word`, is long enough and no stop word."""
    return len(word) >= SHORTEST and word not in stop_words
