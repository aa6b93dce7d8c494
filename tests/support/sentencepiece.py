"""A tokenizer like those that sentencepiece trains: spaces are letters, unknown letters are bytes.

Of 512 tokens, as many as the rows of the random models: three special ones, the 256 bytes, and the
letters and pieces of the texts that it is given.
"""

import json
from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

SPACE = "\u2581"
SPECIAL = ("<unk>", "<s>", "</s>")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
SIZE = 512


def sentencepiece(texts: Sequence[str], n_letters: int = 90) -> Tokenizer:
    """Return a tokenizer of these texts; <s> is what it puts in front where it may."""
    spelled = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    merges = _merges(texts, spelled, n_letters)
    letters = sorted({letter for one, other in merges for letter in one + other})
    pieces = dict.fromkeys([*SPECIAL, *BYTES, *letters, *(a + b for a, b in merges)])
    kept = list(pieces)[:SIZE]
    assert len(kept) == SIZE, f"the texts give {len(kept)} tokens only"
    there = {piece: i for i, piece in enumerate(kept)}
    known = [(a, b) for a, b in merges if {a, b, a + b} <= there.keys()]
    model = models.BPE(there, known, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = spelled
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = TemplateProcessing("<s> $A", None, [("<s>", 1)])
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _merges(
    texts: Sequence[str], spelled: normalizers.Normalizer, n_letters: int
) -> list[tuple[str, str]]:
    """Return the pairs that BPE joins in these texts, never across a space."""
    learner = Tokenizer(models.BPE())
    learner.normalizer = spelled
    learner.pre_tokenizer = pre_tokenizers.Split(SPACE, "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=SIZE, limit_alphabet=n_letters, show_progress=False)
    learner.train_from_iterator(texts, trainer)
    return [(a, b) for a, b in json.loads(learner.to_str())["model"]["merges"]]
