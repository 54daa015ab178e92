"""Every broken optimizer is caught by the checks that are meant for it, by no other, and by the smallest example."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
import torch

import thalweg as tw
from tests.testing.broken import CASES, SOUND
from thalweg.testing._contract import CHECKS


@pytest.fixture(scope="module")
def report_of():
    """The report of a broken optimizer, made once."""
    made = {}

    def report(case):
        if case not in made:
            factory, _, reference = CASES[case]
            made[case] = tw.testing.check_optimizer(factory, reference=reference, examples=12)
        return made[case]

    return report


# Of each set of checks the first that fails them, the others among the slow tests.
FIRST = {frozenset(fails): case for case, (_, fails, _) in reversed(CASES.items())}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case in FIRST.values() else pytest.mark.slow) for case in CASES]
)
def test_the_intended_checks_fail(case, report_of):
    report = report_of(case)
    assert {f.name: (f.example.dimension, f.example.steps) for f in report.failures} == CASES[case].fails, report
    assert not report.passed


def test_every_check_fails_somewhere():
    assert {check for case in CASES.values() for check in case.fails} == {check.name for check in CHECKS}


# What is found at the end of the lines to paste: only there where a comment does not add to them, and not where the
# optimizer raises.
PASTED = [
    (case, check)
    for case, (_, fails, _) in CASES.items()
    for check in fails
    if check
    not in (
        "deterministic",
        "isolated",
        "memory",
        "no gradient",
        "gradient kept",
        "closure",
        "own keys",
        "copy",
        "mixed",
    )
    and (case, check) not in {("optax: a branch on a value", mode) for mode in ("compiled", "scan", "vmap")}
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # keras asks NumPy for copies
@pytest.mark.parametrize(
    ("case", "check"),
    # One example of each check, the others among the slow tests.
    [
        pytest.param(case, check, marks=pytest.mark.slow if check in {c for _, c in PASTED[:i]} else [])
        for i, (case, check) in enumerate(PASTED)
    ],
)
def test_the_example_shows_it_when_pasted(case, check, report_of):
    example = report_of(case)[check].example
    names = dict(
        factory=CASES[case].factory, torch=torch, jax=jax, jnp=jnp, optax=optax, keras=keras, step=0, __name__="pasted"
    )
    if str(example.found).startswith("raised"):
        with pytest.raises(Exception, match=r"."):
            exec(example.code, names)
        return
    exec(example.code, names)
    x = names["x"]
    if example.expected == "bfloat16":
        dtype = names["updates"].dtype if "updates" in names else x.dtype
        assert str(dtype).removeprefix("torch.") == example.found == "float32"
        return
    x = x.detach().double().numpy() if isinstance(x, torch.Tensor) else np.asarray(x, np.float64)
    np.testing.assert_array_equal(x, np.array(example.found, np.float64))
    if not isinstance(example.expected, str):
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(x, example.expected, rtol=1e-9)


SLOW = {
    "our own momentum", "our own momentum in torch", "optax.adam", "optax's exponential average",
    "optax.sgd, gradient descent", "torch.optim.SGD, a method", "keras.optimizers.SGD, a method", "torch.optim.AdamW",
    "optax, weight decay", "a partial", "without settings", "keras.optimizers.SGD", "optax.sgd", "torch.optim.SGD",
}  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(c, marks=[pytest.mark.slow] if c in SLOW else []) for c in SOUND])
def test_a_sound_optimizer_passes(case):
    factory, reference = SOUND[case]
    report = tw.testing.check_optimizer(factory, reference=reference, examples=12)
    assert report.passed, report
    assert (report["reference"].status == "passed") == (reference is not None)
    # What was not checked says why, and nothing that could be was left.
    left = {finding.name for finding in report.findings if finding.status == "not checked"}
    assert left <= {"reference", "momentum", "memory", "nesterov", "foreach", "fused", "learning rate"}
    if factory is torch.optim.SGD:
        assert left == ({"reference"} if reference is None else set())
