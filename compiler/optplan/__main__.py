"""`python -m optplan`."""

import sys

from optplan.cli import main

if __name__ == "__main__":
    sys.exit(main())
