"""check_optimizer as it is called: what it takes, what it gives back, what it refuses, what it leaves alone."""

import functools
import inspect
import json
import os
import subprocess
import sys

import jaxtyping
import numpy as np
import optax
import pytest
import torch

import thalweg as tw
from tests.testing.broken import BufferOutsideState, BufferZeroed, Noisy, zeroed
from thalweg.testing._contract import CHECKS
from thalweg.testing._factory import read_signature
from thalweg.testing._reference import Linear, recursion
from thalweg.testing._search import Space, search, smallest

H = tw.Hyperparameters
FEW = 4


def check(factory, **options):
    return tw.testing.check_optimizer(factory, **({"examples": FEW} | options))


def python(code):
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)


def test_importing_loads_nothing_heavy():
    done = python("import sys, thalweg.testing, thalweg as tw; tw.testing; print(*sys.modules)")
    assert done.stderr == ""
    assert not {"jax", "numpy", "torch", "keras", "optax", "hypothesis", "rich"} & set(done.stdout.split())


def test_another_framework_is_not_loaded_and_the_precision_is_given_back():
    done = python(
        "import sys, optax, jax, thalweg as tw\n"
        "report = tw.testing.check_optimizer(optax.sgd, reference=tw.nesterov(None, 0.1, 0.9), examples=3)\n"
        "assert report.passed, report\n"
        "assert not jax.config.jax_enable_x64 and not {'torch', 'keras'} & set(sys.modules)"
    )
    assert done.stderr == ""


def test_the_report():
    report = check(BufferZeroed, reference=H(0.1, 0.9))
    assert (report.factory, report.framework, report.passed) == ("BufferZeroed", "torch", False)
    assert [f.name for f in report.findings] == [c.name for c in CHECKS if "torch" in c.frameworks]
    assert [f.name for f in report.failures] == ["momentum", "memory", "reference"]
    found = report["reference"]
    assert (found.status, found.example.start, found.example.gradients) == ("failed", [0.0], [[1.0], [1.0]])
    np.testing.assert_allclose([found.example.expected, found.example.found], [[-0.29], [-0.2]], rtol=1e-12)
    text = str(report)
    assert text == repr(report)
    assert text.startswith("BufferZeroed (torch): 16 passed, 3 failed, 1 not checked")
    assert "    # expected [-0.29]\n    # found    [-0.2]" in text
    assert text.count("optimizer = factory(") == 3
    with pytest.raises(AssertionError, match="the momentum has no effect"):
        report.raise_for_failures()
    with pytest.raises(KeyError):
        report["speed"]
    rows = report.as_list()
    assert json.loads(json.dumps(rows)) == rows
    assert [row["name"] for row in rows if row["status"] == "failed"] == ["momentum", "memory", "reference"]


def test_a_report_that_passes_raises_nothing():
    report = check(torch.optim.SGD, reference=H(0.1))
    report.raise_for_failures()
    assert report.passed and report.explanations == "" and "why not" not in str(report)


def test_the_same_seed_draws_the_same():
    assert check(BufferOutsideState) == check(BufferOutsideState)


def test_what_is_not_deterministic_is_compared_with_nothing():
    report = check(Noisy)
    assert [f.name for f in report.failures] == ["deterministic"]
    assert {report[name].why for name in ("resume", "zero gradient", "schedule")} == {
        "two runs with the same input differ: see deterministic"
    }
    assert report["gradient kept"].status == "passed"


def test_what_is_left_out():
    report = check(zeroed, leave_out=["momentum", "memory", "nesterov"])
    assert report.passed
    assert report["memory"].why == "left out"
    assert not check(zeroed, leave_out="memory").passed


def test_warnings_are_no_faults():
    class Talkative(torch.optim.SGD):
        def step(self, closure=None):
            import warnings

            warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
            return super().step(closure)

    assert check(Talkative).passed


def other(params, learning_rate, beta, nesterov=False, decay=0.5):
    """Names as others have them."""
    return torch.optim.SGD(params, learning_rate, beta, nesterov=nesterov)


@pytest.mark.parametrize(
    ("factory", "names", "parameters", "needed"),
    [
        (optax.rmsprop, {"rate": "learning_rate", "momentum": "momentum", "nesterov": "nesterov"}, False, {"rate"}),
        (optax.trace, {"momentum": "decay", "nesterov": "nesterov"}, False, {"momentum"}),
        (other, {"rate": "learning_rate", "momentum": "beta", "nesterov": "nesterov"}, True, {"rate", "momentum"}),
        (functools.partial(other, beta=0.3, learning_rate=0.1), None, True, set()),
        (lambda: None, {}, False, set()),
        (lambda params=None: None, {}, True, set()),
        (lambda lr=0.1: None, {"rate": "lr"}, False, set()),
    ],
)
def test_what_a_factory_takes(factory, names, parameters, needed):
    found = read_signature(factory)
    assert found.parameters == parameters and set(found.needed) == needed
    if names is not None:
        assert found.names == names


def test_settings_by_other_names():
    report = check(other, reference=H(0.1, 0.9, nesterov=True))
    assert report.passed, report
    assert report["momentum"].status == report["reference"].status == "passed"


def test_a_factory_that_refuses_a_setting():
    def picky(params, lr=0.1, momentum=0.9, weight_decay=0.0):
        if not momentum or weight_decay:
            raise ValueError("no")
        return torch.optim.SGD(params, lr, momentum)

    assert check(picky, reference=H(0.1, 0.9)).passed
    report = check(picky, reference=H(0.1))
    assert report["reference"].status == "not checked"
    assert report["reference"].why == "lr=0.1, momentum=0.0, weight_decay=0.0 raised ValueError: no"
    assert report["momentum"].status == "passed"


def test_an_optimizer_that_raises_in_mid_run():
    class Tired(torch.optim.SGD):
        def step(self, closure=None):
            if any("momentum_buffer" in state for state in self.state.values()):
                raise RuntimeError("tired")
            return super().step(closure)

    report = check(Tired)
    assert report["deterministic"].status == "passed"
    example = report["resume"].example
    assert (example.dimension, example.steps, example.found) == (1, 2, "raised RuntimeError: tired")
    assert report["memory"].status == "failed"


def settings(count=60):
    rng = np.random.default_rng(0)
    for _ in range(count):
        momentum = float(rng.uniform(0.05, 0.95))
        yield H(float(rng.uniform(0.01, 0.3)), momentum, bool(rng.integers(2)), convention="torch")


def test_the_equations_of_the_conventions_agree():
    x0, gradient = np.array([1.0, -2.0]), Linear(0.7, 0.3)
    for h in settings():
        paths = [recursion(h.to(c), x0, gradient, 8) for c in ("torch", "keras", "ema")]
        np.testing.assert_allclose(paths[1], paths[0], rtol=0, atol=1e-13)
        np.testing.assert_allclose(paths[2], paths[0], rtol=0, atol=1e-13)


def test_the_equations_step_by_step():
    """By hand, with constant gradients 1 and a start at 0 or 1."""
    zero, one, g = np.zeros(1), np.ones(1), Linear(0.0, 1.0)

    def path(h, x0=zero, gradient=g):
        return recursion(h, x0, gradient, 2)[:, 0].tolist()

    assert path(H(0.5, 0.5)) == [-0.5, -1.25]
    assert path(H(0.5, 0.5, dampening=0.5)) == [-0.5, -1.0]
    assert path(H(0.5, 0.5, nesterov=True)) == [-0.75, -1.625]
    assert path(H(0.5, 0.5, convention="keras")) == [-0.5, -1.25]
    assert path(H(0.5, 0.5, convention="ema")) == [-0.25, -0.625]
    assert path(H(0.5, 0.5, convention="ema", bias_correction=True)) == [-0.5, -1.0]
    assert path(H(0.5, 0.5, weight_decay=1.0), one, Linear(0.0, 0.0)) == [0.5, 0.0]


def test_the_smallest_is_of_the_smallest_size():
    space = Space([{"lr": 0.1}], (1, 4))
    # Wrong from the second step on in the last parameter, and only there.
    found = smallest(
        space, lambda draw: draw if draw.steps > 1 and draw.gradients[1][-1] != 0.0 else None, examples=30, seed=0
    )
    assert (found.dimension, found.steps, found.gradients, found.start) == (1, 2, ((0.0,), (1.0,)), (0.0,))
    assert search(space, lambda draw: None, examples=30, seed=0) is None


REFUSED = {
    "no optimizer": (lambda: check(3), "factory must be a function or class that makes an optimizer, but is 3"),
    "unknown framework": (lambda: check(optax.sgd, framework="tensorflow"), "framework 'tensorflow' is unknown"),
    "no parameters": (lambda: check(optax.sgd, framework="torch"), "sgd must take the parameters first"),
    "foreign reference": (lambda: check(optax.sgd, reference=0.1), "reference must be tw.Hyperparameters(...)"),
    "reference that raises": (
        lambda: check(functools.partial(optax.sgd, 0.1), reference=lambda x0, gradient, steps: 1 / 0),
        "the reference raised ZeroDivisionError: division by zero",
    ),
    "reference of another shape in mid-search": (
        lambda: check(functools.partial(optax.sgd, 0.1), reference=lambda x0, gradient, steps: [[0.0]] * steps),
        "the reference must give back the position after each step",
    ),
    "steps": (lambda: check(optax.sgd, steps=2), "steps must be a whole number of at least 3, but is 2"),
    "examples": (lambda: check(optax.sgd, examples=0), "examples must be a whole number of at least 1"),
    "seed": (lambda: check(optax.sgd, seed="a"), "seed must be a whole number, but is 'a'"),
    "unknown check": (lambda: check(optax.sgd, leave_out=["memori"]), "did you mean 'memory'?"),
    "no signature": (lambda: check(dict), "factory dict does not tell what it takes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("module", "says"), [("hypothesis", "pip install 'thalweg[testing]'"), ("torch", "needs torch")]
)
def test_what_is_not_installed_is_one_line(module, says, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "thalweg.testing._torch", raising=False)
    with pytest.raises(tw.InputError, match=r"needs") as caught:
        check(torch.optim.SGD)
    assert says in str(caught.value)


def test_the_signature_of_the_contract():
    assert list(inspect.signature(tw.testing.check_optimizer).parameters) == [
        "factory", "framework", "reference", "steps", "seed", "examples", "leave_out",
    ]  # fmt: skip
    with pytest.raises(AttributeError, match="has no attribute 'check'"):
        _ = tw.testing.check


# Our own adapters, and optimizers that are hard to check.


@pytest.mark.parametrize("nesterov", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_our_torch_optimizer_resumed_between_a_retune_and_a_step(monkeypatch, nesterov):
    """What keeps a motion is kept in the state, in torch's own SGD and in ours."""
    from thalweg.adapters.torch import Optimizer, retune
    from thalweg.testing._torch import TorchWalker

    monkeypatch.setattr(TorchWalker, "set_rate", lambda self, rate: retune(self.optimizer, learning_rate=rate))
    make = tw.nesterov if nesterov else tw.momentum

    def ours(params, lr=0.1, momentum=0.9):
        return Optimizer(params, make(None, lr, momentum))

    for factory in (ours, functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=nesterov)):
        others = [c.name for c in CHECKS if c.name not in ("resume", "own keys", "copy", "schedule")]
        report = check(factory, leave_out=others, examples=8)
        assert report.passed, report
        assert report["resume"].status == report["own keys"].status == "passed"


def test_matrices_alone_are_checked():
    report = check(torch.optim.Muon, leave_out=["grouping", "bf16", "mixed"])
    assert report.passed, report
    assert report["memory"].status == report["learning rate"].status == "passed"


def test_the_size_of_a_fault_is_told():
    class Rounded(torch.optim.SGD):
        """A state that is a rounding off when it is loaded."""

        def load_state_dict(self, state_dict):
            super().load_state_dict(state_dict)
            for state in self.state.values():
                state["momentum_buffer"].mul_(1 + 2.0**-52)

    report = check(Rounded, examples=12)
    assert [f.name for f in report.failures] == ["resume"]
    assert "of the size of rounding)" in report["resume"].why and report["resume"].example.apart < 1e-15
    far = check(BufferZeroed, reference=H(0.1, 0.9))["reference"]
    assert far.why.endswith("(by 0.09)") and "rounding" not in far.why


def test_an_average_is_a_momentum():
    """The first coefficient of Adam and its like, alone or as the first of a pair."""
    found = read_signature(torch.optim.Adam)
    assert found.names["momentum"] == "betas" and found.averages
    assert found.spell({"momentum": 0.5})["betas"] == (0.5, 0.999)
    assert read_signature(optax.adam).names["momentum"] == "b1"


def test_a_step_that_loops_is_compiled_once():
    """A loop inside a step would be compiled at each of its calls by hand."""
    import jax

    traced = []

    def looping(learning_rate=0.1):
        def update(updates, state, params=None):
            traced.append(1)
            half = lambda g: jax.lax.fori_loop(0, 3, lambda i, x: 0.5 * x, g)  # noqa: E731
            return jax.tree.map(lambda g: -learning_rate * half(g).astype(g.dtype), updates), state

        return optax.GradientTransformation(lambda params: optax.EmptyState(), update)

    report = check(looping, examples=30)
    assert report.passed, report
    # A program for each shape, dtype and mode, however many the examples; by hand it is run a thousand times.
    assert len(traced) < 80


def adam_outside_its_state(learning_rate=0.1, b1=0.9, b2=0.999):
    """Of so many calls that a step of it is compiled once, were its averages in its state."""
    inner, kept = optax.adam(learning_rate, b1, b2), {}

    def init(x):
        kept["state"] = inner.init(x)
        return optax.EmptyState()

    def update(gradient, state, x=None):
        updates, kept["state"] = inner.update(gradient, kept["state"], x)
        return updates, state

    return optax.GradientTransformation(init, update)


def test_what_lies_outside_the_state_is_missed_at_resumption():
    others = [check.name for check in CHECKS if check.name not in ("resume", "momentum")]
    report = check(adam_outside_its_state, leave_out=others)
    assert [finding.name for finding in report.failures] == ["resume"]
    assert check(optax.adam, leave_out=others).passed
