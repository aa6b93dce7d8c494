"""The sweep's functions in C, for processors: compiled at first use, loaded by ctypes."""

from ingest.activations.native.kernels import NativeKernels, native
from ingest.activations.native.library import NotCompiledError, prepare

__all__ = ["NativeKernels", "NotCompiledError", "native", "prepare"]
