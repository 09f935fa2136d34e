"""Corpora: each yields clips; none knows a tensor."""
