"""Models in one file: GGUF, the format of llama.cpp, Ollama and LM Studio.

`reader` finds the tensors of a file or of its parts, `tensors` gives them transformers' names and
their values, `sidecar` keeps the configuration and the tokenizer that the file holds as the files
of a hub directory. llama.cpp's own library `gguf` reads and dequantises.
"""
