"""The studio: an HTTP API that translates videos in a worker process, and a page on top of it."""
