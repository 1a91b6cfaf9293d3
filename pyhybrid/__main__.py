"""``python -m pyhybrid`` is ``pyhybrid``."""

from pyhybrid.cli import main

if __name__ == "__main__":
    main()
