"""Speed and memory, as ratios against a floor or a peer measured in the same run."""

import ingest  # noqa: F401  -- sets how threads wait, before torch loads
