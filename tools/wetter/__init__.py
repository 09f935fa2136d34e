"""The grammar behind the corpus `wetter`: `python -m tools.wetter.sentences` writes the package's `wetter.tsv`."""
