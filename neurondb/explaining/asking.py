"""Many neurons, several programs at once, and each answer stored as it comes.

The thread that calls reads evidence and stores answers; others wait for programs. So an interrupted
run keeps every answer that was stored, and the same request goes on with the rest.
"""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Final

from sqlalchemy import URL, Connection, Engine, select

from neurondb.contracts.explain import Answerer, ExplainReport, Outcome, Reply, Trouble
from neurondb.contracts.progress import Advance, Progress
from neurondb.database import connect, format_url, translate_errors
from neurondb.errors import UnknownNameError
from neurondb.explaining.evidence import compute_digest
from neurondb.explaining.tasks import Asked, Question
from neurondb.reading.models import Model
from neurondb.schema import tables
from neurondb.writing.explanations import Origin, store_failure
from neurondb.writing.rows import transaction

WAITING: Final = 2
"""Questions that wait or are asked, a job: the next is ready when a program ends."""
_IDS_A_STATEMENT: Final = 500


def ask_about(
    url: URL,
    model: Model,
    neuron_ids: Sequence[int],
    asked: Asked,
    answerer: Answerer,
    source: str,
    progress: Progress,
    *,
    jobs: int = 1,
) -> ExplainReport:
    """Ask about neurons, store what is said, and return what became of each.

    Args:
        url: a database of this version.
        model: the model of the neurons.
        neuron_ids: the neurons, in the order in which they are asked about.
        asked: what is asked about each.
        answerer: who is asked.
        source: what answers, scores and failures call who was asked.
        progress: what is told how far the work is.
        jobs: how many are asked at once.

    Raises:
        UnknownNameError: when the weights of a neuron are not ingested.
        DatabaseError: when the database cannot be read or written.
    """
    started = time.perf_counter()
    reader, writer = connect(url), connect(url, writing=True)
    round_ = _Round(reader, writer, asked, answerer, source, jobs)
    try:
        with translate_errors(format_url(url)):
            with reader.connect() as connection:
                _refuse_unknown(connection, neuron_ids)
            with progress.stage(_TITLES[asked.task], len(neuron_ids), "neurons") as advance:
                round_.go(neuron_ids, advance)
    finally:
        reader.dispose()
        writer.dispose()
    outcomes = tuple(round_.outcomes[place] for place in sorted(round_.outcomes))
    seconds = time.perf_counter() - started
    return ExplainReport(model.name, asked.task, source, asked.columns, outcomes, seconds)


_TITLES: Final = {"explain": "explanations", "score": "scores"}


class _Round:
    """One round of questions: what is pending, and what became of those that are not."""

    def __init__(
        self,
        reader: Engine,
        writer: Engine,
        asked: Asked,
        answerer: Answerer,
        source: str,
        jobs: int,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._asked, self._answerer, self._source = asked, answerer, source
        self._jobs = jobs
        self._pending: dict[Future[Reply], tuple[tuple[int, int], Question]] = {}
        self._left: Counter[int] = Counter()
        self.outcomes: dict[tuple[int, int], Outcome] = {}

    def go(self, neuron_ids: Sequence[int], advance: Advance) -> None:
        """Ask about all of them; whatever ends it ends the programs too."""
        pool = ThreadPoolExecutor(self._jobs)
        try:
            for place, neuron_id in enumerate(neuron_ids):
                self._ask(pool, place, neuron_id, advance)
                while len(self._pending) >= WAITING * self._jobs:
                    self._store_finished(advance)
            while self._pending:
                self._store_finished(advance)
        except BaseException:
            self._answerer.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _ask(self, pool: ThreadPoolExecutor, place: int, neuron_id: int, advance: Advance) -> None:
        """Put the questions about one neuron into the queue."""
        # A transaction that stayed open all the time would keep the log of writes from ending.
        with self._reader.connect() as connection:
            found = list(self._asked.prepare(connection, neuron_id))
        for i, one in enumerate(found):
            if isinstance(one, Question):
                self._left[place] += 1
                future = pool.submit(self._answerer.ask, one.given)
                self._pending[future] = ((place, i), one)
                continue
            self.outcomes[place, i] = one
            if one.trouble is not None:
                nobody = Origin(self._source, self._answerer.command, "", 0.0)
                self._store_trouble(neuron_id, nobody, one.trouble)
        if not self._left[place]:
            advance(1, self._count_failures())

    def _store_finished(self, advance: Advance) -> None:
        """Wait for an answer, and store all that there are."""
        finished, _ = wait(self._pending, return_when=FIRST_COMPLETED)
        for future in finished:
            place, question = self._pending.pop(future)
            self.outcomes[place] = self._store(question, future.result())
            self._left[place[0]] -= 1
            if not self._left[place[0]]:
                advance(1, self._count_failures())

    def _store(self, question: Question, reply: Reply) -> Outcome:
        origin = Origin(
            self._source,
            self._answerer.command,
            compute_digest(question.given),
            round(reply.seconds, 3),
        )
        answer = self._asked.read(question, reply)
        failed = Outcome(question.name, "failed", {**question.about, "seconds": origin.seconds})
        if isinstance(answer, Trouble):
            self._store_trouble(question.neuron_id, origin, answer)
            return replace(failed, trouble=answer)
        with transaction(self._writer) as connection:
            values = self._asked.store(connection, question, origin, answer)
        return Outcome(question.name, "new", values)

    def _store_trouble(self, neuron_id: int, origin: Origin, trouble: Trouble) -> None:
        with transaction(self._writer) as connection:
            store_failure(connection, neuron_id, origin, self._asked.task, trouble)

    def _count_failures(self) -> str:
        n = sum(one.trouble is not None for one in self.outcomes.values())
        return f"{n:,} failed" if n else ""


def _refuse_unknown(connection: Connection, neuron_ids: Sequence[int]) -> None:
    """Refuse neurons whose weights are not stored: nothing can be said of them."""
    column, stored = tables.neurons.c.neuron_id, set[int]()
    for start in range(0, len(neuron_ids), _IDS_A_STATEMENT):
        batch = neuron_ids[start : start + _IDS_A_STATEMENT]
        stored.update(connection.scalars(select(column).where(column.in_(batch))))
    if missing := set(neuron_ids) - stored:
        raise UnknownNameError(
            f"the weights of {len(missing):,} of these {len(neuron_ids):,} neurons are not "
            f"ingested, such as neuron_id {min(missing)}"
        )
