"""The example scripts run, and end where they say."""

import runpy
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](*arguments)


def test_your_objective():
    result = run("your_objective")
    assert all(entry.reached for entry in result.entries), repr(result)


def test_rate_drop():
    """Both frameworks go the same way, and the exact one goes on where the rate left alone brakes."""
    found = run("rate_drop", 60, 1)
    for told in found.values():
        np.testing.assert_allclose(told["torch"], told["optax"], rtol=0, atol=1e-12)
    last = {way: told["torch"][-1] for way, told in found.items()}
    assert last["never dropped"] < last["exact"] < last["left alone"]
    assert abs(last["square root"] - last["exact"]) < 0.1 * (last["left alone"] - last["exact"])


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"your_objective", "rate_drop"}
