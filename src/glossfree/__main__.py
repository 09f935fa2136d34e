"""`python -m glossfree` = `glossfree`."""

from glossfree.cli import main

main()
