"""`python -m dexhot` is the `dexhot` command."""

import sys

from dexhot.cli import main

sys.exit(main())
