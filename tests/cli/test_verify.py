"""thalweg verify."""

import pytest

import thalweg as tw

MODULE = """
import functools, torch, optax

class Forgetful(torch.optim.SGD):
    def step(self, closure=None):
        for state in self.state.values():
            state["momentum_buffer"] = None
        return super().step(closure)

def raising(params, lr=0.1):
    raise OSError("no licence\\nfor this optimizer")

def none(params, lr=0.1):
    return None

def hungry(params, rho, sigma):
    pass

def branching(learning_rate):
    def update(updates, state, params=None):
        raise ValueError("no gradient is good enough")
    return optax.GradientTransformation(lambda params: (), update)

plain = functools.partial(torch.optim.SGD, lr=0.1)
number = 3.0

def descent(x0, gradient, steps):
    path = [x0]
    for _ in range(steps):
        path.append(path[-1] - 0.1 * gradient(path[-1]))
    return path

def short(x0, gradient, steps):
    return x0
"""


@pytest.fixture
def mine(place):
    """A module of the user's in the working directory."""
    (place / "opts.py").write_text(MODULE)


@pytest.fixture
def verify(thalweg, mine, monkeypatch):
    """`verify("opts:plain", ...)`, with the module read anew."""
    import sys

    monkeypatch.delitem(sys.modules, "opts", raising=False)
    return lambda *arguments, status=0: thalweg("verify", *arguments, "--examples", 6, status=status)


def test_json_is_a_row_a_check(verify):
    outcome = verify("optax:sgd", "--reference", "learning_rate=0.1,momentum=0.9,nesterov=true", "--json")
    assert outcome.err == ""
    assert tuple(outcome.rows[0]) == ("factory", "framework", "name", "statement", "status", "why", "example")
    assert [row["status"] for row in outcome.rows] == ["passed"] * 15
    assert {(row["factory"], row["framework"], row["example"]) for row in outcome.rows} == {("sgd", "optax", None)}


def test_a_failure_is_status_1_and_an_example(verify):
    outcome = verify("opts:Forgetful", "--reference", "lr=0.1,momentum=0.9", status=1)
    assert outcome.err == ""
    assert "Forgetful (torch): 17 passed, 3 failed" in outcome.out
    assert "# expected [-0.29]\n    # found    [-0.2]" in outcome.out
    rows = verify("opts:Forgetful", "--json", status=1).rows
    failed = {row["name"]: row["example"] for row in rows if row["status"] == "failed"}
    assert list(failed) == ["momentum", "memory"]
    assert (failed["memory"]["dimension"], failed["memory"]["steps"]) == (1, 3)
    assert failed["memory"]["gradients"] == [[1.0], [0.0], [0.0]]
    assert failed["memory"]["settings"] == {"lr": 0.1, "momentum": 0.9}


def test_what_is_left_out(verify):
    left = [part for check in ("momentum", "memory") for part in ("--leave-out", check)]
    rows = verify("opts:Forgetful", "--framework", "torch", *left, "--json").rows
    assert [(row["name"], row["why"]) for row in rows[:2]] == [("momentum", "left out"), ("memory", "left out")]


def test_references(verify):
    assert "reference " in verify("opts:plain", "--reference", "opts:descent").out
    adam = "learning_rate=0.1,beta1=0.8,beta2=0.9,epsilon=1e-6,weight_decay=0.1,coupled=true"
    assert "reference " in verify("torch.optim:Adam", "--reference", adam).out
    verify("torch.optim:SGD", "--reference", "learning_rate=0.1,momentum=0.9,convention=keras,nesterov=True")
    # In the other convention the learning rate means something else.
    outcome = verify("torch.optim:SGD", "--reference", "learning_rate=0.1,momentum=0.9,convention=ema", status=1)
    assert "# expected [-0.01]\n    # found    [-0.1]" in outcome.out


REFUSED = {
    "no colon": (("opts",), "factory 'opts' must be written module:name"),
    "no module": (("nothing:sgd",), "there is no module 'nothing'"),
    "no attribute": (("optax:sdg",), "module 'optax' has no 'sdg'; did you mean 'sgd'?"),
    "no function": (("opts:number",), "factory must be a function or class that makes an optimizer, but is 3.0"),
    "raises": (("opts:raising",), "factory raising raised OSError: no licence"),
    "none": (("opts:none",), "factory none makes a NoneType, which is no torch.optim.Optimizer"),
    "hungry": (("opts:hungry",), "factory hungry needs rho and sigma, which no check knows"),
    "raises at a step": (("opts:branching",), "branching makes raised ValueError: no gradient is good enough"),
    "needs a closure": (("torch.optim:LBFGS",), "LBFGS makes raised TypeError"),
    "unknown framework": (("optax:sgd", "--framework", "jax"), "framework 'jax' is unknown"),
    "another framework": (("optax:sgd", "--framework", "keras"), "makes a GradientTransformationExtraArgs, which is"),
    "a class of another": (("opts:Forgetful", "--framework", "optax"), "which optax has not"),
    "reference in words": (("optax:sgd", "--reference", "momentum"), "must be written learning_rate=VALUE"),
    "reference of two": (
        ("optax:adam", "--reference", "lr=1,beta1=0.9,momentum=0.9"),
        "beta1 is of Adam, and momentum",
    ),
    "reference unknown": (("optax:sgd", "--reference", "learning_rat=1"), "did you mean 'learning_rate'?"),
    "reference without": (("optax:sgd", "--reference", "momentum=0.9"), "--reference needs a learning_rate"),
    "reference no number": (("optax:sgd", "--reference", "lr=high"), "--reference learning_rate must be a number"),
    "reference no switch": (("optax:sgd", "--reference", "lr=1,nesterov=1"), "nesterov must be true or false"),
    "reference out of range": (("optax:sgd", "--reference", "lr=1,momentum=1"), "momentum must be less than 1"),
    "reference of no path": (("opts:plain", "--reference", "opts:short"), "of shape (1, 1), but gave back shape (1,)"),
    "reference number": (("opts:plain", "--reference", "opts:number"), "reference must be tw.Hyperparameters(...)"),
    "reference too little": (("optax:sgd", "--reference", "opts:descent"), "does not say what learning_rate is"),
    "few steps": (("optax:sgd", "--steps", 2), "steps must be a whole number of at least 3, but is 2"),
    "seed": (("optax:sgd", "--seed", -1), "seed must be a whole number of at least 0"),
    "unknown check": (
        ("optax:sgd", "--leave-out", "momentun"),
        "check 'momentun' is unknown; did you mean",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, verify, monkeypatch):
    import jaxtyping

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    arguments, says = REFUSED[case]
    outcome = verify(*arguments, status=2)
    assert says in outcome.err
    assert (outcome.err.count("\n"), outcome.out) == (1, "")


def test_the_line_is_the_report_of_python(verify):
    from optax import sgd

    rows = verify("optax:sgd", "--seed", 3, "--steps", 3, "--json").rows
    assert rows == tw.testing.check_optimizer(sgd, seed=3, steps=3, examples=6).as_list()


@pytest.mark.slow
def test_keras_runs_on_jax_where_nothing_else_is_there(shell):
    done = shell("unset KERAS_BACKEND; HOME=$PWD THALWEG verify keras.optimizers:SGD --examples 3")
    assert (done.returncode, done.stderr) == (0, "")
    assert "SGD (keras): 12 passed" in done.stdout
    assert not shell("ls -A | grep hypothesis").stdout
