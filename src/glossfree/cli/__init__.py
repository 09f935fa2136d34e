"""The command line: `app` binds the verbs, each of which has a file of its own."""
