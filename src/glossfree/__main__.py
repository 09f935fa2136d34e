"""`python -m glossfree` = `glossfree`."""

from glossfree.cli.app import main

main()
