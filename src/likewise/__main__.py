"""``python -m likewise``, the same as ``likewise``."""

from likewise.cli import main

main()
