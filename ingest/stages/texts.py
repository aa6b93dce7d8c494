"""What the stages that read texts begin with: the dataset and its token ids are stored."""

from typing import NamedTuple

from ingest.stages.session import Session
from ingest.text.corpus import Corpus
from neurondb.spelling import option
from neurondb.writing import datasets
from neurondb.writing.ledger import WHOLE_MODEL, Step


class StoredTexts(NamedTuple):
    """A dataset that is stored, and the settings that whatever is computed on it depends on."""

    corpus: Corpus
    dataset_id: int
    settings: dict[str, object]


def store_texts(session: Session) -> StoredTexts:
    """Store the session's dataset and its token ids where they are not; say once what was cut.

    Each stage over texts comes here: of those after the first this is no step of its own.
    """
    assert session.corpus is not None
    assert session.tokenizer is not None
    dataset, tokenization = session.corpus.dataset, session.corpus.tokenization
    is_first = session.dataset_id is None
    if tokenization.n_truncated and is_first:
        session.progress.note(
            f"{tokenization.n_truncated} of {len(dataset.texts)} texts cut at "
            f"{tokenization.max_len} tokens ({option('max_len')}, and the model's context)"
        )
    dataset_id = datasets.store_dataset(session.engine, dataset)
    session.dataset_id = dataset_id
    settings: dict[str, object] = {
        "max_len": tokenization.max_len,
        "skip_bos": tokenization.skip_bos,
        "tokenizer": session.tokenizer.fingerprint,
    }
    if session.tokenizer.prefix_is_configured:  # else the tokenizer's own files say it
        settings["prefix_token_id"] = tokenization.prefix_token_id
    steps = [Step("texts", WHOLE_MODEL, settings, dataset_id)]
    for step in session.select_pending(steps if is_first else []):
        with session.finishing(step) as writer:
            datasets.store_tokenization(writer, dataset_id, tokenization)
    return StoredTexts(session.corpus, dataset_id, settings)
