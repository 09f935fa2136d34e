"""Tensors to tensors: the three levels, the head, the translator."""
