"""Who listens to the executors under test, so that the computations' module is light to import."""

from dataclasses import dataclass, field

from ingest.executors import Listener
from tests.support.ingested import Silent


@dataclass
class Heard:
    """What a listener was told."""

    progress: Silent = field(default_factory=Silent)
    n: int = 0

    @property
    def listener(self) -> Listener:
        """The listener."""

        def advance(n: int, detail: str = "") -> None:
            self.n += n

        return Listener(advance, self.progress)
