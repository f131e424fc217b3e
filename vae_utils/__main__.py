"""Run the command line: python -m vae_utils."""

import sys

from vae_utils.cli import main

if __name__ == "__main__":
    sys.exit(main())
