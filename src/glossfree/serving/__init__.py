"""Translating with a model folder: its files, the results, and models in ONNX. Only `graphs` needs torch."""
