"""The example scripts run, and end where they say."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path) -> None:
    result = runpy.run_path(str(path))["main"]()
    assert all(entry.reached for entry in result.entries), repr(result)
