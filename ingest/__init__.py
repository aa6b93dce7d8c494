"""The jobs that compute what NeuronDB stores: torch lives here, one module per stage."""

import os

# Threads that wait for each other by spinning take the processor from those they wait for: beside
# one other busy process, small operations were seen to take twenty times as long. Read by the
# OpenMP runtime when torch loads; whoever set it otherwise keeps it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Activations of a batch are larger than what malloc keeps: on huge pages the system hands them out
# in a five-hundredth of the steps, and walking down a column misses no address translation. Read
# by torch's allocator when it loads; systems without huge pages ignore it.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
