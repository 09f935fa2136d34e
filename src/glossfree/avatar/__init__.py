"""The drawn signer and its sentences: German weather, for the demo and for tests."""
