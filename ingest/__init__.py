"""The jobs that compute what NeuronDB stores: torch lives here, one module per stage."""

import os

# Threads that wait for each other by spinning take the processor from those they wait for: beside
# one other busy process, small operations were seen to take twenty times as long. Read by the
# OpenMP runtime when torch loads; whoever set it otherwise keeps it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
