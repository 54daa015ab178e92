"""Programs follow what functions of a user read besides their arguments: globals, closures, attributes."""

import jax
import jax.numpy as jnp
import pytest

import thalweg as tw
from tests.cells import START, first_step, notebook

# A cell that defines f(x) = c |x - 1|² / 2 with c = 1, and one after which c is 2.
CELLS = {
    "a number": ("c = 1.0\ndef f(x): return 0.5 * c * jnp.sum((x - 1) ** 2)", "c = 2.0"),
    "a NumPy array": ("c = np.ones(2)\ndef f(x): return 0.5 * jnp.sum(c * (x - 1) ** 2)", "c = np.full(2, 2.0)"),
    "its entries": ("c = np.ones(2)\ndef f(x): return 0.5 * jnp.sum(c * (x - 1) ** 2)", "c[:] = 2.0"),
    "a large array's entries": (
        "c = np.ones((10**6, 2))\ndef f(x): return 0.5 * jnp.sum(c[0] * (x - 1) ** 2)", "c *= 2.0",
    ),
    "an array of JAX": ("c = jnp.ones(2)\ndef f(x): return 0.5 * jnp.sum(c * (x - 1) ** 2)", "c = 2 * c"),
    "a tuple": ("c = (1.0, 1.0)\ndef f(x): return 0.5 * c[0] * jnp.sum((x - 1) ** 2)", "c = (2.0, 1.0)"),
    "a list": ("c = [1.0]\ndef f(x): return 0.5 * c[0] * jnp.sum((x - 1) ** 2)", "c[0] = 2.0"),
    "a dictionary": ("c = dict(a=1.0)\ndef f(x): return 0.5 * c['a'] * jnp.sum((x - 1) ** 2)", "c['a'] = 2.0"),
    "an attribute": (
        "c = types.SimpleNamespace(a=1.0)\ndef f(x): return 0.5 * c.a * jnp.sum((x - 1) ** 2)", "c.a = 2.0",
    ),
    "a module of one's own": (
        "c = types.ModuleType('settings')\nc.a = 1.0\ndef f(x): return 0.5 * c.a * jnp.sum((x - 1) ** 2)", "c.a = 2.0",
    ),
    "a function that it calls": (
        "def c(): return 1.0\ndef f(x): return 0.5 * c() * jnp.sum((x - 1) ** 2)", "def c(): return 2.0",
    ),
    "what that reads": (
        "c = 1.0\ndef g(): return c\ndef f(x): return 0.5 * g() * jnp.sum((x - 1) ** 2)", "c = 2.0",
    ),
    "a function within": (
        "c = 1.0\ndef f(x): return jax.vmap(lambda one: 0.5 * c * (one - 1) ** 2)(x).sum()", "c = 2.0",
    ),
    "a closure": (
        "def make():\n  c = 1.0\n  def f(x): return 0.5 * c * jnp.sum((x - 1) ** 2)\n"
        "  def put(value):\n    nonlocal c\n    c = value\n  return f, put\nf, put = make()", "put(2.0)",
    ),
    "a default": (
        "def f(x, c=np.ones(2)): return 0.5 * jnp.sum(c * (x - 1) ** 2)", "f.__defaults__[0][:] = 2.0",
    ),
    "one of its arguments, given before": (
        "c = np.ones(2)\nf = functools.partial(lambda c, x: 0.5 * jnp.sum(c * (x - 1) ** 2), c)", "c[:] = 2.0",
    ),
    "its own object": (
        "class Model:\n  c = 1.0\n  def loss(self, x): return 0.5 * self.c * self.norm(x)\n"
        "  def norm(self, x): return jnp.sum((x - 1) ** 2)\nmodel = Model()\nf = model.loss", "model.c = 2.0",
    ),
    "its object, by another method": (
        "class Model:\n  def __init__(self): self.c = 1.0\n  def scale(self): return self.c\n"
        "  def loss(self, x): return 0.5 * self.scale() * jnp.sum((x - 1) ** 2)\nmodel = Model()\nf = model.loss",
        "model.c = 2.0",
    ),
    "a callable object": (
        "class Model:\n  def __init__(self): self.c = 1.0\n"
        "  def __call__(self, x): return 0.5 * self.c * jnp.sum((x - 1) ** 2)\nf = Model()", "f.c = 2.0",
    ),
    "a class of settings": (
        "class C:\n  c = 1.0\ndef f(x): return 0.5 * C.c * jnp.sum((x - 1) ** 2)", "C.c = 2.0",
    ),
    "its class": (
        "class Model:\n  c = 1.0\n  def loss(self, x): return 0.5 * self.c * jnp.sum((x - 1) ** 2)\nf = Model().loss",
        "Model.c = 2.0",
    ),
    "a property": (
        "c = 1.0\nclass Model:\n  @property\n  def scale(self): return c\n"
        "  def loss(self, x): return 0.5 * self.scale * jnp.sum((x - 1) ** 2)\nf = Model().loss", "c = 2.0",
    ),
    "a static method": (
        "c = 1.0\nclass Model:\n  @staticmethod\n  def loss(x): return 0.5 * c * jnp.sum((x - 1) ** 2)\nf = Model.loss",
        "c = 2.0",
    ),
    "an object that it makes": (
        "c = 1.0\nclass Model:\n  def __init__(self): self.c = c\n"
        "def f(x): return 0.5 * Model().c * jnp.sum((x - 1) ** 2)", "c = 2.0",
    ),
    "a dictionary, beside an update": (
        "c = dict(a=1.0)\ndef f(x): return 0.5 * c['a'] * jnp.sum((x.at[0].add(-1) - jnp.array([0, 1])) ** 2)",
        "c['a'] = 2.0",
    ),
    "inside of jit": ("c = 1.0\n@jax.jit\ndef f(x): return 0.5 * c * jnp.sum((x - 1) ** 2)", "c = 2.0"),
}  # fmt: skip


@pytest.mark.parametrize("what", CELLS)
def test_a_program_follows_what_its_function_reads(what):
    before, after = CELLS[what]
    cells = notebook(before)
    method = tw.gradient_descent(cells["f"], 0.25)
    assert first_step(method) == 0.25
    exec(after, cells)
    # Both a method that was made before, and one that is made anew of the same function.
    assert first_step(method) == 0.5
    assert first_step(tw.gradient_descent(cells["f"], 0.25)) == 0.5


ENTRIES = {
    "minimize": lambda f: float(tw.minimize(f, START).final.position[0]),
    "solve": lambda f: float(tw.solve(tw.gradient_descent(f, 1.0), START, 1).final.position[0]),
    "sweep": lambda f: float(tw.sweep(lambda h: tw.gradient_descent(f, h), {"h": [1.0]}, START, 1).final[0, 0, 0]),
    "sample": lambda f: round(float(tw.sample(tw.mala(f, 0.5), START, 400, 2)["posterior"]["x"].mean())),
    "compare": lambda f: float(
        tw.compare(tw.gradient_descent(f, 1.0), START, max_steps=3, limits=False).runs.popitem()[1].final.position[0]
    ),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.filterwarnings("ignore::thalweg.SamplingWarning")
def test_every_entry_follows(entry):
    cells = notebook("c = 1.0\ndef f(x): return 0.5 * jnp.sum((x - c) ** 2)")
    assert ENTRIES[entry](cells["f"]) == pytest.approx(1.0)
    cells["c"] = 4.0
    assert ENTRIES[entry](cells["f"]) == pytest.approx(4.0)


UNCHANGED = {
    "nothing": "",
    "a name that it does not read": "d = 3.0",
    "an equal value": "c = 1.0",
    "an attribute that it does not read": "box.d = 2.0",
    "one of another object": "other.a = 2.0",
    "a list that it fills itself": "",
}


@pytest.mark.parametrize("what", UNCHANGED)
def test_what_has_not_changed_is_not_compiled_again(what):
    cells = notebook(
        "c, d = 1.0, 2.0\nbox, other = types.SimpleNamespace(a=1.0, d=1.0), types.SimpleNamespace(a=1.0)\n"
        "def f(x):\n  traced.append(x)\n  return 0.5 * c * box.a * jnp.sum((x - 1) ** 2)"
    )
    method = tw.gradient_descent(cells["f"], 0.25)
    first_step(method)
    count = len(cells["traced"])
    exec(UNCHANGED[what], cells)
    first_step(method)
    assert len(cells["traced"]) == count


COUNTS = {
    "a list": ("calls = []", "calls.append(x)"),
    "a global": ("calls = 0", "global calls; calls += 1"),
}


@pytest.mark.parametrize("what", COUNTS)
def test_calls_that_several_functions_count_together_compile_nothing(what):
    start, count = COUNTS[what]
    body = f"  {count}\n  traced.append(x)\n  return 0.5 * jnp.sum((x - 1) ** 2)\n"
    cells = notebook(f"{start}\ndef f(x):\n{body}def g(x):\n{body}")
    methods = [tw.gradient_descent(cells[name], 0.25) for name in ("f", "g")]
    first = [first_step(method) for method in methods]
    so_far = len(cells["traced"])
    assert [first_step(method) for method in methods] == first == [0.25, 0.25]
    assert len(cells["traced"]) == so_far


def test_two_objects_of_one_method_are_kept_apart():
    cells = notebook(
        "class Model:\n  def __init__(self, c): self.c = c\n"
        "  def loss(self, x):\n    traced.append(x)\n    return 0.5 * self.c * jnp.sum((x - 1) ** 2)\n"
        "one, other = Model(1.0), Model(2.0)"
    )
    methods = [tw.gradient_descent(cells[name].loss, 0.25) for name in ("one", "other")]
    assert [first_step(method) for method in methods] == [0.25, 0.5]
    count = len(cells["traced"])
    assert [first_step(method) for method in methods] == [0.25, 0.5]
    assert len(cells["traced"]) == count


def test_functions_of_time_and_fields_are_looked_at():
    cells = notebook("c = 1.0\ndef rate(t): return c\ndef field(t, x, args): return c * jnp.ones_like(x)")
    flow = tw.Method(tw.GradientFlow(lambda x: 0.5 * jnp.sum((x - 1) ** 2), rate=cells["rate"]), tw.Euler(), 0.25)
    motion = tw.Method(tw.Field(cells["field"]), tw.Euler(), 0.25)
    assert [first_step(flow), first_step(motion)] == [0.25, 0.25]
    cells["c"] = 2.0
    assert [first_step(flow), first_step(motion)] == [0.5, 0.5]


def test_objects_that_answer_with_errors_are_left_alone():
    class Awkward:
        def __eq__(self, other):
            raise RuntimeError("no comparing")

        __hash__ = None

        def __getattr__(self, name):
            raise RuntimeError("no looking")

    odd = Awkward()

    def f(x):
        return 0.5 * jnp.sum((x - 1) ** 2) + (odd is None)

    assert first_step(tw.gradient_descent(f, 0.25)) == 0.25
    assert first_step(tw.gradient_descent(f, 0.25)) == 0.25


OWN = """
import equinox as eqx
import thalweg as tw
c = 1.0
class Loss(eqx.Module):
    shift: float
    def __call__(self, x): return self.scaled(jnp.sum((x - self.shift) ** 2))
    def scaled(self, value): return 0.5 * c * value
class Twice(tw.schemes.AbstractScheme):
    order = 1
    def step(self, dynamics, state, step_size, draws=tw.schemes.Draws()):
        return tw.Euler().step(dynamics, state, c * step_size, draws)
bowl = lambda x: 0.5 * jnp.sum((x - 1) ** 2)
"""
MADE = {
    "Loss": lambda cells: tw.gradient_descent(cells["Loss"](1.0), 0.25),
    "Twice": lambda cells: tw.Method(tw.GradientFlow(cells["bowl"]), cells["Twice"](), 0.25),
}


@pytest.mark.parametrize("name", MADE)
def test_methods_of_classes_of_a_user_are_looked_at(name):
    cells = notebook(OWN)
    method = MADE[name](cells)
    assert first_step(method) == 0.25
    cells["c"] = 2.0
    assert first_step(method) == 0.5


def test_inside_of_a_program_of_the_user_nothing_is_forgotten():
    cells = notebook("c = 1.0\ndef f(x): return 0.5 * c * jnp.sum((x - 1) ** 2)")

    def end(rate):
        return tw.solve(tw.gradient_descent(cells["f"], rate), START, 1).final.position[0]

    assert float(jax.jit(end)(0.25)) == 0.25
    cells["c"] = 2.0
    assert float(jax.jit(lambda rate: end(rate))(0.25)) == 0.5
    assert float(jax.grad(end)(0.25)) == 2.0


def test_what_answers_with_an_error_is_refused_and_nothing_is_looked_at_less_after_it():
    class Broken(dict):
        def __len__(self):
            raise RuntimeError("no length")

    with pytest.raises(tw.InputError, match=r"^method must be a tw\.Method"):
        tw.run(Broken(), START, 1)
    cells = notebook("c = 1.0\ndef f(x): return 0.5 * c * jnp.sum((x - 1) ** 2)")
    assert first_step(tw.gradient_descent(cells["f"], 0.25)) == 0.25
    cells["c"] = 2.0
    assert first_step(tw.gradient_descent(cells["f"], 0.25)) == 0.5
