"""Sentences -> token ids and pseudo-glosses."""
