"""A stored model that runs beside a site, in a process of its own, and answers its questions.

The site's process never imports PyTorch. `model.py` is the queue before the model, `process.py` the
process from outside, `worker.py` the process from inside.
"""

from neurondb.live.model import LiveModel

__all__ = ["LiveModel"]
