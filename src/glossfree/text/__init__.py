"""Sentences to token ids and pseudo-glosses."""
