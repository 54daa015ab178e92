"""Wrong input is one line that says what is wrong and what would be right; nothing is traced back, nothing written.

Through Python as a user calls it (without the type checker of the tests, which would come first), and through the
command line, where the line goes to stderr and the exit status is 2.
"""

import contextlib
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

import thalweg as tw
from thalweg.cli._app import _status

nan, inf = float("nan"), float("inf")
X0 = jnp.array([1.0, -2.0])


def bowl(x):
    return 0.5 * jnp.sum(x**2)


def raising(x):
    raise RuntimeError("no licence\nfor this solver")


def branching(x):
    return jnp.sum(x) if x[0] > 0 else 0.0


def forward_only(x):
    return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + jnp.sum(x)), (0, 0.0))[1]


DATA = jnp.ones((5, 2))
SUM = tw.FiniteSum(lambda x, s: bowl(x - s), DATA, batch_size=2)
OK = tw.momentum(bowl, 0.1, 0.9)


def run(method=OK, x0=X0, steps=3, **options):
    return tw.run(method, x0, steps, **options)


def of(fn):
    """A run down an objective."""
    return run(tw.momentum(fn, 0.1, 0.9))


def sweep(make=lambda a: tw.gradient_descent(bowl, a), grid=None, x0=X0, steps=3, **options):
    return tw.sweep(make, {"a": [0.1]} if grid is None else grid, x0, steps, **options)


def compare(methods=None, x0=X0, **options):
    return tw.compare({"m": OK} if methods is None else methods, x0, **options)


def occupied(name):
    os.mkdir(name)
    with open(f"{name}/thesis.txt", "w") as file:
        file.write("three years")
    return name


API = {
    # the objective
    "objective nan": (
        lambda: of(lambda x: nan * jnp.sum(x)),
        "the objective is nan at the start; begin where it is finite",
    ),
    "objective inf": (lambda: of(lambda x: bowl(x) / 0.0), "the objective is inf at the start; begin where"),
    "objective -inf": (lambda: of(lambda x: jnp.sum(jnp.log(x * 0))), "the objective is -inf at the start"),
    "objective vector": (
        lambda: of(lambda x: x**2),
        "must return a scalar, but returns shape (2,); take the mean or the sum",
    ),
    "objective of shape 1": (lambda: of(lambda x: x[:1]), "must return a scalar, but returns shape (1,)"),
    "objective integer": (
        lambda: of(lambda x: jnp.argmax(x)),
        "must return a floating-point scalar, but returns int64",
    ),
    "objective bool": (lambda: of(lambda x: x[0] > 0), "must return a floating-point scalar, but returns bool"),
    "objective tuple": (lambda: of(lambda x: (bowl(x), x)), "must return a scalar, but returns tuple"),
    "objective dict": (lambda: of(lambda x: {"loss": bowl(x)}), "must return a scalar, but returns dict"),
    "objective None": (lambda: of(lambda x: None), "must return a scalar, but returns NoneType"),
    "objective text": (lambda: of(lambda x: "low"), "must return a scalar, but returns str"),
    "objective complex": (lambda: of(lambda x: jnp.sum(x) * 1j), "floating-point scalar, but returns complex128"),
    "objective raises": (lambda: of(raising), "raised RuntimeError at the start of shape (2,): no licence"),
    "objective branches": (lambda: of(branching), "raised TracerBoolConversionError at the start of shape (2,)"),
    "objective misfit": (lambda: of(lambda x: jnp.ones(3) @ x), "raised TypeError at the start of shape (2,)"),
    "objective takes two": (lambda: of(lambda x, y: bowl(x)), "raised TypeError at the start of shape (2,)"),
    "objective without gradient": (
        lambda: of(forward_only),
        "raised ValueError at the start of shape (2,): Reverse-mode",
    ),
    "gradient nan": (
        lambda: of(lambda x: jnp.sum(jnp.sqrt(x - X0))),
        "gradient of the objective is not finite at the start",
    ),
    "gradient inf": (lambda: of(lambda x: jnp.sum(jnp.cbrt(x - X0))), "gradient of the objective is not finite"),
    "objective number": (lambda: tw.momentum(3.0, 0.1), "must be a function or a tw.Objective, but is 3.0"),
    "objective word": (
        lambda: tw.momentum("rosenbrock", 0.1),
        "must be a function or a tw.Objective, but is 'rosenbrock'",
    ),
    "objective missing": (lambda: run(tw.momentum(None, 0.1)), "built without an objective; give one to run it"),
    "objective of no function": (lambda: tw.Objective(3.0), "must be a function of the parameters, but is 3.0"),
    "minimum text": (lambda: tw.Objective(bowl, minimum="low"), "minimum must be a real number, but is 'low'"),
    "minimum nan": (lambda: tw.Objective(bowl, minimum=nan), "minimum must be finite"),
    "smoothness negative": (lambda: tw.Objective(bowl, smoothness=-1.0), "smoothness must be at least 0, but is -1"),
    "step complex": (lambda: tw.Method(tw.GradientFlow(bowl), tw.Euler(), 1j), "step_size must be a real number, but"),
    "friction complex array": (lambda: tw.HeavyBall(bowl, jnp.array(1j)), "friction must be a real number, but is Arr"),
    "damping object": (lambda: tw.NesterovFlow(bowl, object()), "damping must be a real number, but is <object"),
    "mass true": (lambda: tw.HeavyBall(bowl, 1.0, mass=True), "mass must be a real number, but is True"),
    # data
    "data of two lengths": (lambda: tw.FiniteSum(bowl, (DATA, DATA[:3])), "same non-empty leading axis"),
    "data scalar": (lambda: tw.FiniteSum(bowl, 3.0), "same non-empty leading axis"),
    "data empty": (lambda: tw.FiniteSum(bowl, DATA[:0]), "same non-empty leading axis"),
    "data none": (lambda: tw.FiniteSum(bowl, ()), "same non-empty leading axis"),
    "data text": (lambda: tw.FiniteSum(bowl, ["a", "b"]), "data must be arrays of numbers, but holds text"),
    "batch of none": (lambda: tw.FiniteSum(bowl, DATA, 0), "batch_size must be a whole number of at least 1, but is 0"),
    "batch of a half": (lambda: tw.FiniteSum(bowl, DATA, 0.5), "batch_size must be a whole number, but is 0.5"),
    "batch too large": (
        lambda: tw.FiniteSum(bowl, DATA, 6, replace=False),
        "at most the 5 samples without replacement",
    ),
    "residuals of no function": (
        lambda: tw.LeastSquares(7),
        "residuals must be a function of the parameters, but is 7",
    ),
    "residuals of nothing": (
        lambda: tw.gauss_newton(None),
        "residuals must be a function of the parameters, but is None",
    ),
    "a metric of no residuals": (
        lambda: tw.geometry.GaussNewton(3.0),
        "residuals must be a function of the parameters",
    ),
    "a model of no function": (
        lambda: tw.geometry.Fisher(3.0, DATA, "poisson"),
        "model must be a function, but is 3.0",
    ),
    "losses of no function": (
        lambda: tw.geometry.EmpiricalFisher("losses"),
        "losses must be a function, but is 'losses'",
    ),
    "an average of a number": (
        lambda: tw.geometry.Fisher(bowl, DATA, "poisson", average=2),
        "average must be True or False, but is 2",
    ),
    "a family of no name": (lambda: tw.geometry.FisherInformation(3), "family 3 is unknown; choose one of: bernoulli"),
    "residuals of text": (lambda: tw.LeastSquares(bowl, "abc"), "data must be arrays of numbers, but holds text"),
    "sum of no function": (lambda: tw.FiniteSum(7, DATA), "fn must be a function of (x, sample), but is 7"),
    # the start
    "start text": (lambda: run(x0="here"), "must be made of arrays of numbers, but holds 'here'"),
    "start texts": (lambda: run(x0=np.array(["a", "b"])), "must be made of arrays of numbers"),
    "start objects": (lambda: run(x0=np.array([None, 1.0])), "must be made of arrays of numbers"),
    "start function": (lambda: run(x0=bowl), "must be made of arrays of numbers"),
    "start None": (lambda: run(x0=None), "must hold at least one parameter, but is empty"),
    "start empty tree": (lambda: run(x0={}), "must hold at least one parameter, but is empty"),
    "start empty array": (lambda: run(x0=jnp.zeros(0)), "must hold at least one parameter"),
    "start integers": (lambda: run(x0=[1, 2]), "must be floating point, but holds int64; write 1.0 instead of 1"),
    "start integer array": (lambda: run(x0=jnp.arange(2)), "must be floating point, but holds int64"),
    "start bools": (lambda: run(x0=jnp.array([True, False])), "must be floating point, but holds bool"),
    "start complex": (lambda: run(x0=jnp.array([1.0 + 1j])), "must be floating point, but holds complex128"),
    "start nan": (lambda: run(x0=jnp.array([1.0, nan])), "must be finite, but holds NaN or infinity"),
    "start inf": (lambda: run(x0={"a": X0, "b": jnp.array(inf)}), "must be finite"),
    "start of another shape": (lambda: run(tw.momentum(lambda x: x @ jnp.ones(3), 0.1)), "start of shape (2,)"),
    "start tree for an array": (lambda: run(x0={"w": X0}), "the objective raised TypeError at the start of shape (2,)"),
    # hyperparameters
    "rate negative": (lambda: tw.momentum(bowl, -0.1), "learning_rate must be greater than 0, but is -0.1"),
    "rate zero": (lambda: tw.gradient_descent(bowl, 0), "learning_rate must be greater than 0, but is 0"),
    "rate nan": (lambda: tw.nesterov(bowl, nan), "learning_rate must be finite, but is nan"),
    "rate inf": (lambda: tw.gradient_descent(bowl, inf), "learning_rate must be finite, but is inf"),
    "rate text": (
        lambda: tw.gradient_descent(bowl, "0.1"),
        "learning_rate must be a real number, but is '0.1'",
    ),
    "rate None": (lambda: tw.momentum(bowl, None), "learning_rate must be a real number, but is None"),
    "rate list": (
        lambda: tw.momentum(bowl, [0.1, 0.2]),
        "learning_rate must be one number, but has shape (2,); tw.sweep",
    ),
    "rate schedule of momentum": (lambda: tw.momentum(bowl, lambda k: 0.1), "must be numbers here; for a schedule"),
    "rate by a schedule of optax": (lambda: tw.nesterov(bowl, optax.constant_schedule(0.1)), "must be numbers here"),
    "momentum negative": (lambda: tw.momentum(bowl, 0.1, -0.1), "momentum must be at least 0, but is -0.1"),
    "momentum above 1": (lambda: tw.nesterov(bowl, 0.1, 1.1), "than 1, but is 1.1"),
    "momentum nan": (lambda: tw.leapfrog(bowl, 0.1, nan), "momentum must be finite"),
    "momentum text": (lambda: tw.momentum(bowl, 0.1, "high"), "momentum must be a real number, but is 'high'"),
    "step negative": (
        lambda: tw.Method(tw.GradientFlow(bowl), tw.RK4(), -1.0),
        "step_size must be greater than 0, but is -1",
    ),
    "step zero": (lambda: OK.with_step_size(0.0), "step_size must be greater than 0, but is 0"),
    "step inf": (lambda: OK.with_step_size(inf), "step_size must be finite, but is inf"),
    "step text": (lambda: OK.with_step_size("0.1"), "step_size must be a real number, but is '0.1'"),
    "step None": (lambda: OK.with_step_size(None), "step_size must be a real number, but is None"),
    "step list": (lambda: OK.with_step_size([0.1, 0.2]), "step_size must be one number, but has shape (2,)"),
    "friction negative": (lambda: tw.HeavyBall(bowl, -1.0), "friction must be at least 0, but is -1"),
    "friction nan": (lambda: tw.HeavyBall(bowl, nan), "friction must be finite"),
    "friction text": (lambda: tw.HeavyBall(bowl, "low"), "friction must be a real number, but is 'low'"),
    "mass zero": (lambda: tw.HeavyBall(bowl, 1.0, mass=0.0), "mass must be greater than 0, but is 0"),
    "mass negative": (lambda: tw.HeavyBall(bowl, 1.0, mass=-2.0), "mass must be greater than 0, but is -2"),
    "mass inf": (lambda: tw.HeavyBall(bowl, 1.0, mass=inf), "mass must be finite"),
    "damping zero": (lambda: tw.NesterovFlow(bowl, 0.0), "damping must be greater than 0, but is 0"),
    "damping negative": (lambda: tw.NesterovFlow(bowl, -3.0), "damping must be greater than 0, but is -3"),
    "flow rate negative": (lambda: tw.GradientFlow(bowl, -1.0), "rate must be"),
    "high-resolution step": (lambda: tw.HighResolutionFlow(bowl, 0.0), "step must be greater than 0, but is 0"),
    "strong convexity": (lambda: tw.HighResolutionFlow(bowl, 0.1, -1.0), "strong_convexity must be greater than 0"),
    "look-ahead fraction": (lambda: tw.Lookahead(-0.5), "fraction must be at least 0, but is -0.5"),
    "scheme start": (lambda: tw.Leapfrog(start="exakt"), "start 'exakt' is unknown; did you mean 'exact'?"),
    "scheme start of the look-ahead": (lambda: tw.Lookahead(start=0), "start 0 is unknown; choose one of: exact, zero"),
    # what does not fit together
    "leapfrog of a first-order law": (
        lambda: tw.Method(tw.GradientFlow(bowl), tw.Leapfrog(), 0.1),
        "Leapfrog acts on force and friction, but GradientFlow has no separate force or friction; use tw.RK4()",
    ),
    "look-ahead of a law without parts": (
        lambda: tw.Method(tw.HighResolutionFlow(bowl, 0.1), tw.Lookahead(), 0.1),
        "Lookahead acts on force and friction, but HighResolutionFlow has no separate",
    ),
    "law a function": (
        lambda: tw.Method(bowl, tw.RK4(), 0.1),
        "dynamics must be a law of motion such as tw.GradientFlow(f)",
    ),
    "scheme not made": (
        lambda: tw.Method(tw.GradientFlow(bowl), tw.RK4, 0.1),
        "scheme must be a discretisation such as tw.Euler(), but is <function RK4",
    ),
    "tableau word": (lambda: tw.RungeKutta("RK4"), "tableau must be a tw.ButcherTableau, but is 'RK4'"),
    "tableau weights": (
        lambda: tw.ButcherTableau("mine", ((), (0.5,)), (0.5, 0.6), 2),
        "must sum to 1, but sum to 1.1",
    ),
    "tableau rows": (lambda: tw.ButcherTableau("mine", ((), (0.5, 0.1)), (0.0, 1.0), 2), "row i must have i entries"),
    "no learning rate": (
        lambda: tw.Method(tw.HeavyBall(bowl, 1.0), tw.RK4(), 0.1).with_learning_rate(0.1),
        "HeavyBall by RungeKutta has no learning rate",
    ),
    # the run
    "method a function": (lambda: run(bowl), "method must be a tw.Method, such as tw.momentum(f, 0.1, 0.9)"),
    "method a name": (
        lambda: run("momentum"),
        "method must be a tw.Method, such as tw.momentum(f, 0.1, 0.9), but is 'momentum'",
    ),
    "steps negative": (lambda: run(steps=-1), "steps must be a whole number of at least 0, but is -1"),
    "steps float": (lambda: run(steps=2.0), "steps must be a whole number, but is 2.0"),
    "steps bool": (lambda: run(steps=True), "steps must be a whole number of at least 0, but is True"),
    "steps text": (lambda: run(steps="10"), "steps must be a whole number, but is '10'"),
    "solve method": (lambda: tw.solve(bowl, X0, 3), "method must be a tw.Method, such as tw.momentum(f, 0.1, 0.9)"),
    "solve steps": (lambda: tw.solve(OK, X0, 2.5), "steps must be a whole number, but is 2.5"),
    "solve save": (lambda: tw.solve(OK, X0, 3, save=5), "save must be a function of the state"),
    "key missing": (lambda: run(tw.momentum(SUM, 0.1)), "draws mini-batches; give a key, such as key=0"),
    "key negative": (lambda: run(key=-1), "key must be a whole number of at least 0, but is -1"),
    "key text": (lambda: run(key="seed"), "key must be a whole number, but is 'seed'"),
    "key numbers": (
        lambda: run(key=jnp.ones(3)),
        "key must be one seed or JAX key, such as key=0, but is float64 of shape (3,)",
    ),
    "keys": (lambda: run(key=jax.random.split(jax.random.key(0))), "key must be one seed or JAX key"),
    "metric": (lambda: run(record="los"), "metric 'los' is unknown; did you mean 'loss'?"),
    "metrics": (
        lambda: run(record=("loss", "velocity")),
        "metric 'velocity' is unknown; choose one of: acceptance, gradient_norm, gradients, loss",
    ),
    "metric of another kind": (
        lambda: tw.Record(metrics=3),
        "metrics must be names or functions, such as ('loss', 'speed'), but is 3",
    ),
    "record a half": (lambda: run(record=0.5), "record must be a whole number, but is 0.5"),
    "record a set": (lambda: run(record={"loss"}), "record must be a whole number"),
    "positions negative": (lambda: run(record=-2), "at least 0, but is -2"),
    "a module by hand": (lambda: OK.init({"w": jnp.ones(2), "act": jnp.tanh}), "part it: eqx.partition(module"),
    "a field no function": (lambda: tw.Field(3.0), "a field must be a function of (t, x, args), but is 3.0"),
    "a point no pair": (
        lambda: tw.analysis.amplification(tw.gradient_descent(bowl, 0.1), at=jnp.ones(2)),
        "at must be (t, x)",
    ),
    "a metric no metric": (lambda: tw.Record(metrics=(3.5,)), "a metric must be a name, a function"),
    "an objective sometimes": (
        lambda: tw.Objective(bowl, time_dependent="yes"),
        "time_dependent must be True or False",
    ),
    "checkpoint nan": (lambda: tw.Record(checkpoint_seconds=nan), "checkpoint_seconds must be finite"),
    "checkpoint text": (lambda: tw.Record(checkpoint_seconds="often"), "checkpoint_seconds must be a real number"),
    "speed of a first-order law": (
        lambda: run(tw.gradient_descent(bowl, 0.1), record="speed"),
        "metric 'speed' needs a second-order law",
    ),
    "stop metric": (lambda: run(stop={"lost": 1.0}), "stop metric 'lost' is unknown; did you mean 'loss'?"),
    "stop value": (lambda: run(stop={"loss": nan}), "stop['loss'] must be finite, but is nan"),
    "stop text": (lambda: run(stop={"loss": "low"}), "stop['loss'] must be a real number, but is 'low'"),
    "stop number": (
        lambda: run(stop=1e-6),
        "stop must be a dictionary such as {'loss': 1e-6} or a function, but is 1e-06",
    ),
    "stop of one value": (
        lambda: run(stop=lambda m: True),
        "stop must return one truth value a step, (3,), but returns ()",
    ),
    "resume nowhere": (lambda: run(resume=True), "resume needs the directory of the run: out=..."),
    "out a number": (lambda: run(out=3), "out must be the path of a directory, but is 3"),
    "out occupied": (lambda: run(out=occupied("full")), "full is not an empty directory; choose another for the run"),
    "out occupied, resumed": (lambda: run(out=occupied("full"), resume=True), "full is not an empty directory"),
    "out a file": (lambda: run(out="module.py"), "module.py is a file; choose a directory for the run"),
    "velocity of a first-order law": (
        lambda: run(tw.gradient_descent(bowl, 0.1), velocity=X0),
        "a starting velocity needs a second-order law such as tw.HeavyBall, but the law is GradientFlow",
    ),
    "velocity of Nesterov's flow": (
        lambda: run(tw.Method(tw.NesterovFlow(bowl), tw.RK4(), 0.1), velocity=X0),
        "NesterovFlow starts from rest, since its friction r/t is infinite at t = 0; give no starting velocity",
    ),
    "velocity of another shape": (lambda: run(velocity=jnp.ones(3)), "velocity must have the shape of the start"),
    "velocity of another tree": (lambda: run(velocity={"v": X0}), "velocity must have the shape of the start"),
    "velocity nan": (lambda: run(velocity=X0 * nan), "must be finite, but holds NaN"),
    "load nothing": (lambda: tw.Run.load("nowhere"), "nowhere is not a run directory: it holds no run.toml"),
    # sweeps and comparisons
    "grid empty": (lambda: sweep(grid={}), "grid must map each hyperparameter to a non-empty list of values"),
    "grid of no values": (lambda: sweep(grid={"a": []}), "to a non-empty list of values"),
    "grid of a table": (lambda: sweep(grid={"a": [[0.1], [0.2]]}), "to a non-empty list of values"),
    "grid of texts": (lambda: sweep(grid={"a": ["low"]}), "the values of 'a' must be numbers, but are ['low']"),
    "grid of no settings": (lambda: sweep(grid=[]), "a non-empty list of settings with the same names"),
    "grid of other names": (lambda: sweep(grid=[{"a": 0.1}, {"b": 0.1}]), "settings with the same names"),
    "grid of lists in settings": (lambda: sweep(grid=[{"a": [0.1]}, {"a": [0.2]}]), "one number a setting"),
    "grid of a bad value": (
        lambda: sweep(grid={"a": [0.1, -0.1]}),
        "learning_rate must be greater than 0, but is -0.1",
    ),
    "grid of nan": (lambda: sweep(grid={"a": [0.1, nan]}), "learning_rate must be finite"),
    "grid of another name": (lambda: sweep(grid={"rate": [0.1]}), "raised TypeError: "),
    "make_method no function": (lambda: sweep(make=OK), "make_method must be a function that returns a tw.Method"),
    "make_method nonsense": (
        lambda: sweep(make=lambda a: a),
        "must return a tw.Method with an objective, but returned 0.1",
    ),
    "make_method nothing": (
        lambda: sweep(make=lambda a: None),
        "must return a tw.Method with an objective, but returned None",
    ),
    "make_method without objective": (
        lambda: sweep(make=lambda a: tw.momentum(None, a)),
        "must return a tw.Method with an objective",
    ),
    "sweep of no steps": (lambda: sweep(steps=0), "steps must be a whole number of at least 1, but is 0"),
    "sweep of no seeds": (lambda: sweep(seeds=0), "seeds must be a whole number of at least 1, but is 0"),
    "sweep from nowhere": (lambda: sweep(x0=[1, 2]), "must be floating point"),
    "sweep from a function": (lambda: sweep(x0=lambda key: None), "must hold at least one parameter"),
    "sweep down nothing": (
        lambda: sweep(make=lambda a: tw.gradient_descent(raising, a)),
        "raised RuntimeError at the start",
    ),
    "compare none": (lambda: compare({}), "compare needs at least one method"),
    "compare functions": (lambda: compare({"mine": bowl}), "methods['mine'] must be a tw.Method with an objective"),
    "compare without objective": (
        lambda: compare({"m": tw.momentum(None, 0.1)}),
        "must be a tw.Method with an objective",
    ),
    "compare two objectives": (lambda: compare([OK, tw.momentum(lambda x: bowl(x), 0.1)]), "must share one objective"),
    "compare from nowhere": (lambda: compare(x0=jnp.arange(2)), "must be floating point"),
    "tolerance zero": (lambda: compare(tolerance=0.0), "tolerance must be greater than 0, but is 0"),
    "tolerance nan": (lambda: compare(tolerance=nan), "tolerance must be finite"),
    "tolerance text": (lambda: compare(tolerance="tight"), "tolerance must be a real number, but is 'tight'"),
    "no budget": (lambda: compare(max_steps=0), "max_steps must be a whole number of at least 1, but is 0"),
    "half a budget": (lambda: compare(max_steps=10.5), "max_steps must be a whole number, but is 10.5"),
    "compare no seeds": (lambda: compare(seeds=0), "seeds must be a whole number of at least 1, but is 0"),
    # what was taken in silence, or raised by what it reached
    "progress text": (lambda: run(progress="yes"), "progress must be True, False or None, but is 'yes'"),
    "resume text": (lambda: run(resume="x", out="run"), "resume must be True or False, but is 'x'"),
    "sweep progress": (lambda: sweep(progress=1), "progress must be True, False or None, but is 1"),
    "sweep resume": (lambda: sweep(resume="no"), "resume must be True or False, but is 'no'"),
    "sample progress": (
        lambda: tw.sample(tw.sgld(bowl, 0.1), X0, progress="yes"),
        "progress must be True, False or None, but is 'yes'",
    ),
    "limits text": (lambda: compare(limits="no"), "limits must be True or False, but is 'no'"),
    "replace text": (lambda: tw.FiniteSum(bowl, DATA, replace="no"), "replace must be True or False, but is 'no'"),
    "step of Physical": (lambda: tw.Physical("abc", 1.0), "step must be a real number, but is 'abc'"),
    "minimiser": (lambda: tw.Objective(bowl, minimiser="here"), "minimiser must be made of arrays of numbers"),
    "minimiser nan": (lambda: tw.FiniteSum(bowl, DATA, minimiser=X0 * nan), "minimiser must be finite"),
    "preconditioner": (lambda: tw.ImplicitEuler(preconditioner=True), "must be a function or an array of curvatures"),
    "curvature of a translation": (
        lambda: tw.translate(tw.Hyperparameters(0.1), curvature=""),
        "curvature must be a real number or a list or tuple, but is ''",
    ),
    "load a number": (lambda: tw.Run.load(3), "path must be a path, but is 3"),
    "samples of None": (lambda: tw.read_samples(None), "path must be a path, but is None"),
    "runs a number": (
        lambda: tw.compare_runs(5),
        "runs must be a dictionary, a list or tuple, a tw.Run or a path, but is 5",
    ),
    "tableau of None": (lambda: tw.ButcherTableau("a", None, (1.0,), 1), "a must be a list or tuple"),
    "analysis of a name": (lambda: tw.analysis.spectral_radius("x", 1.0), "method must be a tw.Method"),
    "a ladder that is none": (
        lambda: tw.work_precision({"a": OK}, X0, steps=-1),
        "steps must be a list or tuple, but is -1",
    ),
    "checks left out": (lambda: tw.testing.check_method(OK, leave_out=3), "leave_out must be a list or tuple"),
    "a schedule of nothing": (lambda: OK.with_step_size(lambda: 0.1), "must be a function of step, but takes ()"),
    "a schedule of text": (lambda: run(OK.with_step_size(lambda k: "a")), "the step size at step 0 must be a real"),
    "stop of nothing": (lambda: run(stop=lambda: True), "stop must be a function of metrics, but takes ()"),
    "start of mixed keys": (lambda: run(x0={"a": X0, 1: X0}), "what is no pytree: Comparator raised exception while"),
    "run in jit": (
        lambda: jax.jit(lambda x: run(x0=x).final.position)(X0),
        "cannot be traced by jax.jit, vmap or grad",
    ),
    "run in jit of nothing": (lambda: jax.jit(lambda: run().final.position)(), "use tw.solve there"),
    "run in vmap": (lambda: jax.vmap(lambda x: run(x0=x).final.position)(jnp.ones((2, 2))), "use tw.solve there"),
    "run in grad": (
        lambda: jax.grad(lambda a: run(tw.gradient_descent(bowl, a)).final.position[0])(0.1),
        "tw.run runs on the host",
    ),
    "sample in jit": (lambda: jax.jit(lambda x: tw.sample(tw.sgld(bowl, 0.1), x))(X0), "tw.sample runs on the host"),
    "sweep in jit": (lambda: jax.jit(lambda x: sweep(x0=x).final)(X0), "tw.sweep runs on the host"),
    "minimize in jit": (lambda: jax.jit(lambda x: tw.minimize(bowl, x).final.position)(X0), "tw.minimize runs on the"),
    # examining
    "curvature of three axes": (lambda: tw.analysis.amplification(OK, np.ones((2, 2, 2))), "has shape (2, 2, 2)"),
    "curvature nan": (lambda: tw.analysis.spectral_radius(OK, nan), "curvature must be finite"),
    "problem": (lambda: tw.problems.get("rosenbrok"), "problem 'rosenbrok' is unknown; did you mean 'rosenbrock'?"),
    "claim": (lambda: tw.claims.check("exponential-decaj"), "did you mean 'exponential-decay'?"),
}

MODULE = """
import jax, jax.numpy as jnp

bowl = lambda x: 0.5 * jnp.sum(x**2)
nans = lambda x: jnp.nan * x[0]
infinite = lambda x: jnp.sum(x) / 0.0
vector = lambda x: x**2
whole = lambda x: jnp.argmax(x)
pair = lambda x: (bowl(x), x)
nothing = lambda x: None
complex_ = lambda x: x[0] * 1j
steep = lambda x: jnp.sum(jnp.sqrt(jnp.abs(x - x0)))
flat = lambda x: jnp.sum(x)
number = 3.0
x0 = jnp.array([1.0, -2.0])
far = lambda: jnp.array([jnp.inf])
ints = [1, 2]
words = ["a"]
empty = jnp.zeros(0)

def broken(x):
    raise RuntimeError("no licence\\nfor this solver")

@jax.custom_vjp
def once(x):
    return bowl(x)

once.defvjp(lambda x: (once(x), x), lambda x, g: (g * x,))
"""
CONFIGS = {
    "typo": "learning-rat = 0.1",
    "typo-compare": "objectiv = 'rosenbrock'",
    "no-toml": "steps = = 3",
    "method-number": "objective = 'rosenbrock'\nmethod = 3",
    "objective-number": "objective = 3",
    "start-list": "objective = 'rosenbrock'\nstart = [1.0, 2.0]",
    "steps-float": "objective = 'rosenbrock'\nsteps = 2.5",
    "steps-text": "objective = 'rosenbrock'\nsteps = 'many'",
    "steps-bool": "objective = 'rosenbrock'\nsteps = true",
    "rate-text": "objective = 'rosenbrock'\nlearning-rate = 'low'",
    "out-number": "objective = 'rosenbrock'\nout = 3",
    "record-number": "objective = 'rosenbrock'\nrecord = 3",
    "record-numbers": "objective = 'rosenbrock'\nrecord = ['loss', 3]",
    "set-number": "objective = 'rosenbrock'\nset = 3",
    "set-texts": "objective = 'rosenbrock'\nset = {damping = 'low'}",
    "stop-typo": "objective = 'rosenbrock'\nstop = {los = 1e-3}",
    "precision": "objective = 'rosenbrock'\nprecision = 16",
    "limits-text": "objective = 'rosenbrock'\nlimits = 'yes'",
    "method-table": "objective = 'rosenbrock'\nmethod = {name = 'momentum'}",
}
# Nothing is traced for these; what is needed for the rest comes first.
CLI = {
    "command": ("comparr digits", 'Unknown command "comparr". Did you mean "compare"?'),
    "option": ("run rosenbrock --step 3", "Unknown option: --step. Did you mean --steps?"),
    "argument": ("table rosenbrock", "Unused Tokens: ['rosenbrock']"),
    "no objective": ("run", "an objective is needed: one of quadratic, quadratic-2d"),
    "no objective to compare": ("compare", "an objective is needed: one of quadratic"),
    "objective": (
        "run rosenbrok",
        "objective 'rosenbrok' is unknown; did you mean 'rosenbrock'? (yours is written module:f",
    ),
    "objective to compare": ("compare digit", "objective 'digit' is unknown; did you mean 'digits'?"),
    "objective far off": ("compare mnist-1b", "is unknown; choose one of: banana, beale, breast-cancer"),
    "method": ("run rosenbrock -m momentun", "method 'momentun' is unknown; did you mean 'momentum'?"),
    "method to compare": (
        "compare rosenbrock -m adagrad",
        "method 'adagrad' is unknown; choose one of: aboba, adam, adamw, adaptive_chebyshev",
    ),
    "method without a value": ("run rosenbrock -m momentum:0.1", "write momentum:name=value,name=value"),
    "hyperparameter": (
        "run rosenbrock -m momentum:lr=0.1",
        "momentum has no hyperparameter 'lr'; choose one of: learning_rate",
    ),
    "hyperparameter near": ("run rosenbrock --set learning_rat=0.1", "did you mean 'learning_rate'?"),
    "hyperparameter of another": ("run rosenbrock --friction 1.0", "momentum has no hyperparameter 'friction'"),
    "hyperparameter text": (
        "run rosenbrock -m momentum:momentum=high",
        "momentum: momentum must be a number, but is 'high'",
    ),
    "rate negative": ("run rosenbrock --learning-rate -0.1", "learning_rate must be greater than 0, but is -0.1"),
    "rate zero": ("run rosenbrock --learning-rate 0", "learning_rate must be greater than 0, but is 0"),
    "rate nan": ("run rosenbrock --learning-rate nan", "learning_rate must be finite, but is nan"),
    "rate inf": (
        "compare rosenbrock -m gradient_descent:learning_rate=inf",
        "learning_rate must be finite, but is inf",
    ),
    "rate text": ("run rosenbrock --learning-rate low", 'unable to convert "low" into float'),
    "momentum above 1": ("run rosenbrock --momentum 1.5", "than 1, but is 1.5"),
    "momentum negative": ("compare rosenbrock -m nesterov:momentum=-0.5", "momentum must be at least 0, but is -0.5"),
    "friction negative": ("run rosenbrock -m heavy_ball_rk4 --friction -1", "friction must be at least 0, but is -1"),
    "damping zero": ("run rosenbrock -m nesterov_flow --damping 0", "damping must be greater than 0, but is 0"),
    "step negative": ("run rosenbrock -m nesterov_flow --step-size -1", "step_size must be greater than 0, but is -1"),
    "set without a value": ("run rosenbrock --set damping", "--set 'damping' must be written NAME=VALUE"),
    "set text": ("run rosenbrock --set momentum=high", "--set momentum must be a number, but is 'high'"),
    "steps zero": ("run rosenbrock --steps 0", "steps must be a whole number of at least 1, but is 0"),
    "steps negative": ("run rosenbrock --steps -5", "steps must be a whole number of at least 1, but is -5"),
    "steps float": ("run rosenbrock --steps 2.5", "Invalid value for --steps: must be a whole number, but is '2.5'"),
    "seed negative": ("run rosenbrock --seed -1", "seed must be a whole number of at least 0, but is -1"),
    "metric": ("run rosenbrock --record los", "metric 'los' is unknown; did you mean 'loss'?"),
    "metric of a first-order law": (
        "run rosenbrock -m rk4:learning_rate=0.001 --record speed",
        "metric 'speed' needs a second-order law",
    ),
    "positions": ("run rosenbrock --positions -1", "positions must be a whole number of at least 0, but is -1"),
    "stop": ("run rosenbrock --stop los=1e-3", "stop metric 'los' is unknown; did you mean 'loss'?"),
    "stop nan": ("run rosenbrock --stop loss=nan", "stop['loss'] must be finite"),
    "stop without a value": ("run rosenbrock --stop loss", "--stop 'loss' must be written NAME=VALUE"),
    "precision": ("run rosenbrock --precision 16", "precision must be 32 or 64, but is 16"),
    "precision to compare": ("compare rosenbrock --precision 128", "precision must be 32 or 64, but is 128"),
    "tolerance": ("compare rosenbrock --tolerance -1", "tolerance must be greater than 0, but is -1"),
    "tolerance nan": ("compare rosenbrock --tolerance nan", "tolerance must be finite"),
    "budget": ("compare rosenbrock --max-gradients 0", "max_gradients must be a whole number of at least 1, but is 0"),
    "seeds": ("compare rosenbrock --seeds 0", "seeds must be a whole number of at least 1, but is 0"),
    "module": ("run elsewhere:bowl --start 1.0", "objective 'elsewhere:bowl': there is no module 'elsewhere'"),
    "attribute": ("run module:bowle --start 1.0", "module 'module' has no 'bowle'; did you mean 'bowl'?"),
    "attribute left out": ("run module: --start 1.0", "objective 'module:' must be written module:name"),
    "module that does not import": ("run bad:f --start 1.0", "importing bad raised SyntaxError: "),
    "module that stops": ("run stops:f --start 1.0", "importing stops raised ZeroDivisionError: division by zero"),
    "start needed": ("run module:bowl", "objective 'module:bowl' needs a start: --start module:x0, or numbers"),
    "start module": ("run module:bowl --start elsewhere:x0", "start 'elsewhere:x0': there is no module 'elsewhere'"),
    "start attribute": ("run module:bowl --start module:x00", "module 'module' has no 'x00'; did you mean 'x0'?"),
    "start words": (
        "run module:bowl --start left,right",
        "start 'left,right' must be module:x0, or numbers such as 1.0,2.0",
    ),
    "start integers": ("run module:bowl --start module:ints", "must be floating point, but holds int64"),
    "start texts": ("run module:bowl --start module:words", "must be made of arrays of numbers, but holds 'a'"),
    "start empty": ("run module:bowl --start module:empty", "must hold at least one parameter"),
    "start inf": ("run module:bowl --start module:far", "must be finite"),
    "start nan": ("run module:bowl --start nan,1.0", "must be finite"),
    "objective number": ("run module:number --start 1.0", "must be a function or a tw.Objective, but is 3.0"),
    "objective nan": (
        "run module:nans --start module:x0",
        "the objective is nan at the start; begin where it is finite",
    ),
    "objective inf": ("run module:infinite --start 1.0 --learning-rate 0.1", "the objective is inf at the start"),
    "objective vector": (
        "run module:vector --start 1.0,2.0",
        "must return a scalar, but returns shape (2,); take the mean",
    ),
    "objective integer": ("run module:whole --start 1.0,2.0", "must return a floating-point scalar, but returns int64"),
    "objective pair": ("compare module:pair --start 1.0,2.0", "must return a scalar, but returns tuple"),
    "objective nothing": ("compare module:nothing --start 1.0", "must return a scalar, but returns NoneType"),
    "objective complex": (
        "run module:complex_ --start 1.0",
        "must return a floating-point scalar, but returns complex128",
    ),
    "objective raises": (
        "run module:broken --start 1.0",
        "the objective raised RuntimeError at the start of shape (1,): no licence",
    ),
    "objective raises to compare": (
        "compare module:broken --start 1.0 -m momentum:learning_rate=0.1",
        "the objective raised RuntimeError at the start of shape (1,)",
    ),
    "gradient nan": ("run module:steep --start module:x0", "the gradient of the objective is not finite at the start"),
    "no curvature": (
        "run module:flat --start 1.0",
        "momentum needs a learning_rate: the curvature at the start is zero",
    ),
    "curvature unknown": (
        "run module:once --start 1.0",
        "momentum needs a learning_rate: the curvature at the start raised TypeError",
    ),
    "out occupied": (
        "run rosenbrock --learning-rate 1e-3 --out full",
        "full is not an empty directory; choose another",
    ),
    "out a run": (
        "run rosenbrock --learning-rate 1e-3 --out run",
        "run already holds a run; go on with: thalweg resume run",
    ),
    "out a file": ("run rosenbrock --learning-rate 1e-3 --out module.py", "module.py is a file; choose a directory"),
    "compare out occupied": (
        "compare rosenbrock --out full",
        "full is not an empty directory; choose another for the runs",
    ),
    "report a directory": (
        "compare rosenbrock --report full",
        "report full is a directory; give the file, such as full/report.html",
    ),
    "config missing": ("run --config nowhere.toml", "config nowhere.toml does not exist"),
    "config a directory": ("compare --config full", "config full does not exist"),
    "config not text": ("run --config binary.toml", "config binary.toml is not TOML"),
    "resume nothing": ("resume nowhere", "nowhere is not a run directory: it holds no run.toml"),
    "resume something else": ("resume full", "full is not a run directory"),
    "resume nothing named": ("resume", "requires an argument"),
    "resume of Python": (
        "resume python",
        "python was begun from Python, not from the command line; go on with tw.run(",
    ),
    "resume fewer": ("resume run --steps 1", "steps must be at least the 3 the run was begun with, but is 1"),
    "show nothing": ("show nowhere", "nowhere is not a run directory"),
    "show broken": ("show broken", "broken/run.toml is not readable as TOML"),
    "list nothing": ("list nowhere", "nowhere is not a directory; give the one that holds the runs"),
    "export nothing": ("export nowhere out.csv", "nowhere is not a run directory"),
    "export onto a file": ("export run module.py --format csv", "module.py exists; choose another file"),
    "export to an unknown format": (
        "export run out.xlsx",
        "format 'xlsx' is unknown; choose one of: csv, html, json, netcdf, npz, zarr",
    ),
    "export to no format": (
        "export run out",
        "format '' is unknown; choose one of: csv, html, json, netcdf, npz, zarr",
    ),
    "export into nowhere": ("export run nowhere/out.csv", "nowhere is not a directory"),
    "claim": ("claims exponential-decaj", "did you mean 'exponential-decay'?"),
    "config typo": (
        "run --config typo.toml",
        "config typo.toml: 'learning-rat' is no option; did you mean 'learning_rate'?",
    ),
    "config typo to compare": (
        "compare --config typo-compare.toml",
        "'objectiv' is no option; did you mean 'objective'?",
    ),
    "config no toml": ("run --config no-toml.toml", "config no-toml.toml is not TOML: "),
    "config method": ("run --config method-number.toml", "'method' must be text, but is 3"),
    "config method to compare": (
        "compare --config method-table.toml",
        "'method' must be text or a list of texts, but is {",
    ),
    "config objective": ("compare --config objective-number.toml", "'objective' must be text, but is 3"),
    "config start": ("run --config start-list.toml", "'start' must be text, but is [1.0, 2.0]"),
    "config steps": ("run --config steps-float.toml", "'steps' must be a whole number, but is 2.5"),
    "config steps text": ("run --config steps-text.toml", "'steps' must be a whole number, but is 'many'"),
    "config steps bool": ("run --config steps-bool.toml", "'steps' must be a whole number, but is True"),
    "config rate": ("run --config rate-text.toml", "'learning-rate' must be a number, but is 'low'"),
    "config out": ("run --config out-number.toml", "'out' must be text, but is 3"),
    "config record": ("run --config record-number.toml", "'record' must be text or a list of texts, but is 3"),
    "config records": (
        "run --config record-numbers.toml",
        "'record' must be text or a list of texts, but is ['loss', 3]",
    ),
    "config set": ("run --config set-number.toml", "'set' must be NAME=VALUE, a list of them or a table, but is 3"),
    "config set text": ("run --config set-texts.toml", "set damping must be a number, but is 'low'"),
    "config stop": ("run --config stop-typo.toml", "stop metric 'los' is unknown; did you mean 'loss'?"),
    "config precision": ("run --config precision.toml", "precision must be 32 or 64, but is 16"),
    "config limits": ("compare --config limits-text.toml", "'limits' must be true or false, but is 'yes'"),
}


def snapshot(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() if p.is_file() else None for p in path.rglob("*")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working directory with a user's modules and configurations, a run, and what is none."""
    root = tmp_path_factory.mktemp("place")
    (root / "module.py").write_text(MODULE)
    (root / "bad.py").write_text("def f(x:\n    return x")
    (root / "stops.py").write_text("f = 1 / 0")
    (root / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (root / "full").mkdir()
    (root / "full" / "thesis.txt").write_text("three years")
    (root / "broken").mkdir()
    (root / "broken" / "run.toml").write_text("steps = = 3")
    for name, text in CONFIGS.items():
        (root / f"{name}.toml").write_text(text)
    with contextlib.chdir(root):
        tw.run(OK, X0, 3, out="python")
        assert _status(["run", "rosenbrock", "--steps", "3", "--learning-rate", "1e-3", "--out", "run"]) == 0
    return root


@pytest.fixture
def untouched(place, monkeypatch):
    """As a user is: without the tests' type checker, in a directory that must stay as it is."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)
    for module in ("module", "bad", "stops"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    before = snapshot(place)
    yield place
    jax.config.update("jax_enable_x64", True)
    assert snapshot(place) == before


@pytest.mark.parametrize("case", API)
def test_python(case, untouched, tmp_path, monkeypatch):
    if case.startswith("out occupied"):
        monkeypatch.chdir(tmp_path)
    call, message = API[case]
    with pytest.raises(tw.InputError) as caught:
        call()
    said = str(caught.value)
    assert message in said
    assert "\n" not in said
    if case.startswith("out occupied"):
        assert snapshot(tmp_path) == {"full": None, "full/thesis.txt": b"three years"}


@pytest.mark.parametrize("case", CLI)
def test_command_line(case, untouched, capsys):
    arguments, message = CLI[case]
    status = _status(arguments.split())
    out, err = capsys.readouterr()
    assert message in err
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert out == ""


@pytest.mark.parametrize(
    "case", ["option", "objective raises", "config typo", "out occupied", "curvature unknown", "module that stops"]
)
def test_a_process_of_its_own(case, place):
    """What the other cases check in this process, as a shell sees it."""
    arguments, message = CLI[case]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)), PYTHONDONTWRITEBYTECODE="1")
    before = snapshot(place)
    done = subprocess.run(
        [sys.executable, "-m", "thalweg", *arguments.split()],
        cwd=place, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert message in done.stderr
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert snapshot(place) == before


def test_there_are_at_least_sixty_cases():
    assert len(API) >= 60
    assert len(CLI) >= 60
