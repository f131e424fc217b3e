"""The command line, `python -m vae_utils`: train a model, and draw what it has learned, without a notebook.

A command is a function with a line in `COMMANDS` (cli/commands.py): its parameters become the arguments, what it
returns is printed. Nothing heavy is imported before a command runs.
"""

from vae_utils.cli.commands import main, parser

__all__ = ["main", "parser"]
