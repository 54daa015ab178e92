"""The command line: parses, calls the public API, prints. Imports no jax before a command needs it."""

from ._app import main as main
