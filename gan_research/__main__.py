"""`python -m gan_research`: the `gan` command."""

import sys

from gan_research.cli import main

sys.exit(main())
