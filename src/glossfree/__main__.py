"""`python -m glossfree` = `glossfree`."""

from glossfree.cli.app import run

run()
