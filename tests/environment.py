"""The environment of a process, as it was before."""

import contextlib
import os


@contextlib.contextmanager
def same_environment():
    """Give the environment back as it was, but for what pytest itself writes there."""
    before, own = dict(os.environ), {"PYTEST_CURRENT_TEST"}
    yield
    for name in os.environ.keys() - before.keys() - own:
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if name not in own})
