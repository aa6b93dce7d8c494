"""Where shards of work are computed: in this process, in one a device, or as tasks of Ray.

A stage hands shards to an `Executor` and takes results as they are finished; it knows neither how
many workers there are nor where. What it wants computed is a function that can be pickled.
"""

from ingest.executors.protocol import Computation, Executor, Listener, Worker

__all__ = ["Computation", "Executor", "Listener", "Worker"]
