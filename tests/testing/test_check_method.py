"""check_method: every check catches what is broken by it, names it, and shows the smallest example; ours pass."""

import functools
import json
import os
import subprocess
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.testing.broken_methods import CASES, LATER, Averaging, Boasting, Case, Fixed, Whole, by
from thalweg._methods.table import find_row
from thalweg.testing._method_contract import METHOD_CHECKS, METHODS_BY_NAME

NAMES = tuple(METHODS_BY_NAME)
# Those that compile or run the least.
CHEAP = ("form", "finite", "dtype", "gradients", "recompile", "hyperparameters")


def check(method, *only):
    """Of the checks these alone."""
    return tw.testing.check_method(method, leave_out=[name for name in NAMES if name not in only])


@pytest.mark.parametrize("name", CASES)
def test_what_is_broken_is_caught_by_the_check_of_it_with_the_smallest_example(name):
    case: Case = CASES[name]
    LATER.clear()
    found = check(case.method, case.check)[case.check]
    assert (found.status, found.why) == ("failed", METHODS_BY_NAME[case.check].blame)
    assert (found.example.dimension, found.example.steps) == (case.dimension, case.steps)
    shown = f"{found.example.code} {found.example.expected} {found.example.found}"
    assert case.says in shown


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_nothing_else_is_said_of_it(name):
    case: Case = CASES[name]
    LATER.clear()
    report = tw.testing.check_method(case.method)
    failed = {finding.name for finding in report.failures}
    assert case.check in failed and failed <= {case.check, *case.besides}, report


def test_one_that_is_whole_passes():
    report = check(by(Averaging, Whole, rate=2.0), "pure", "phase", "tree", "resume", *CHEAP)
    assert report.passed, report
    assert len([f for f in report.findings if f.status == "passed"]) == 4 + len(CHEAP)


# A law of each kind, and a scheme that counts, ends by itself, restarts, rejects or solves.
KINDS = (
    "momentum", "nesterov_flow", "nesterov_restart", "hessian_damped_rk4", "sgld", "baoab", "generalized_langevin",
    "adaptive_langevin", "mala", "rkc", "proximal_point", "auto",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_rows_of_ours_pass(name):
    report = tw.testing.check_method(find_row(name))
    assert report.passed, report


def test_the_report_is_that_of_an_optimizer():
    report = check(by(Averaging, Whole, rate=2.0), "hyperparameters")
    assert report.title == "averaging_whole (thalweg): 1 passed, 12 not checked"
    assert [finding.name for finding in report.findings] == [one.name for one in METHOD_CHECKS]
    report.raise_for_failures()
    broken = check(CASES["takes another number"].method, "hyperparameters")
    assert broken.title == "renamed (thalweg): 1 failed, 12 not checked"
    with pytest.raises(AssertionError, match=r"hyperparameters: a number that was given is not the one"):
        broken.raise_for_failures()
    assert "    method = factory(f, pull=0.35)\n    method.hyperparameters\n    # expected pull 0.35" in str(broken)
    assert json.loads(json.dumps(broken.as_list()))[-1]["status"] == "failed"


def test_the_lines_of_an_example_show_what_they_say():
    example = check(CASES["clips leaf by leaf"].method, "tree")["tree"].example
    names = {"factory": CASES["clips leaf by leaf"].method, "jax": jax, "jnp": jnp, "tw": tw}
    *before, last = example.code.splitlines()
    exec("\n".join(before), names)
    np.testing.assert_allclose(np.ravel(jax.tree.leaves(names["state"].position)), example.expected, rtol=1e-12)
    np.testing.assert_allclose(np.ravel(jax.tree.leaves(eval(last, names))), example.found, rtol=1e-12)


def test_what_does_not_apply_says_why():
    noisy = check(tw.Row("warm", tw.sgld, {"learning_rate": 0.1, "temperature": 1.0}), "order")["order"]
    assert (noisy.status, noisy.why) == ("not checked", "it draws noise, and the order of a path is not measured")
    report = check(tw.Method(tw.GradientFlow(None), tw.AdaptiveChebyshev(), 1.0), "order", "limit", "recompile")
    assert {report[name].why for name in ("order", "limit")} == {"f itself sets how long a step is"}
    assert report["recompile"].why == "it has no numbers"
    implicit = check(tw.Method(tw.GradientFlow(None), tw.ImplicitEuler(), 0.1), "limit")["limit"]
    assert (implicit.status, implicit.why) == ("not checked", "every step is stable")
    dropped = tw.testing.check_method(
        CASES["drops the auxiliary"].method, leave_out=["pure", "hyperparameters"]
    )  # fmt: skip
    assert {f.why for f in dropped.findings[4:12]} == {"see form, which failed"}


def test_a_method_and_a_function_are_taken_too_and_a_step_that_is_too_long_is_lowered():
    method = tw.Method(tw.GradientFlow(lambda x: jnp.sum(x)), tw.Euler(), 30.0)
    report = check(method, "finite", "hyperparameters")
    assert report.passed and report.factory == "GradientFlow by Euler"
    assert check(functools.partial(tw.momentum, learning_rate=0.1), "form").factory == "momentum"


class Squaring(tw.dynamics.AbstractFirstOrder):
    """A law of matrices alone."""

    objective: Any = eqx.field(converter=tw.dynamics.as_objective)

    def rates(self, time, phase, evaluation):
        del time, phase
        return tw.dynamics.Phase(jax.tree.map(lambda g: -(g + g @ g.T @ g / 50), evaluation.gradient))


@pytest.mark.slow
def test_a_law_of_matrices_alone_is_checked_on_matrices():
    report = check(by(Squaring, tw.Euler), "form", "dtype", "tree", "gradients")
    assert report.passed and report["tree"].status == "passed", report
    broken = check(by(Squaring, Boasting), "order")["order"]
    assert (broken.status, broken.example.start, broken.example.found) == ("failed", [1.0], "order 1.00")
    assert "x = jnp.array([[1.0]])" in broken.example.code


WRONG = {
    "nothing": (lambda: tw.testing.check_method(3), "method '3' must be a tw.Row, or a function (objective, **num"),
    "no objective": (
        lambda: tw.testing.check_method(tw.Method(tw.Field(lambda t, x, args: -x), tw.Euler(), 0.1)),
        "goes down no function: Field takes no objective; check its scheme on a law that does, such as tw.GradientFlow",
    ),
    "no check": (lambda: tw.testing.check_method(tw.momentum, leave_out="ordre"), "check 'ordre' is unknown; did you"),
    "no value": (
        lambda: tw.testing.check_method(tw.leapfrog),
        "leapfrog needs learning_rate, of which it has no value of its own; give learning_rate=VALUE",
    ),
    "no method": (lambda: tw.testing.check_method(Fixed), "must be a tw.Row, or a function (objective, **numbers)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(case):
    call, message = WRONG[case]
    with pytest.raises(tw.InputError) as found:
        call()
    assert message in str(found.value) and "\n" not in str(found.value)


@pytest.mark.slow
def test_it_runs_in_64_bits_and_gives_the_precision_back():
    code = (
        "import jax, thalweg as tw\n"
        "report = tw.testing.check_method(tw.table()[0])\n"
        "assert report.passed, report\n"
        "assert not jax.config.jax_enable_x64"
    )
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    env.pop("JAX_ENABLE_X64", None)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
