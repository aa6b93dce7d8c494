"""The sweep's functions in C, for processors: compiled at first use, loaded by ctypes."""

from ingest.native.kernels import NativeKernels, native
from ingest.native.library import NotCompiledError, prepare

__all__ = ["NativeKernels", "NotCompiledError", "native", "prepare"]
