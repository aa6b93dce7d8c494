"""The functions of the reduction in C, for processors: compiled at first use, loaded by ctypes."""

from ingest.activations.native.kernels import NativeKernels, load_native_kernels, prepare_library
from ingest.compilation import NotCompiledError

__all__ = ["NativeKernels", "NotCompiledError", "load_native_kernels", "prepare_library"]
