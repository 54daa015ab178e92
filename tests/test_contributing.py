"""CONTRIBUTING.md is true: its map is the code's, and its skeleton is a method that works."""

import ast
import doctest
import graphlib
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg import schemes
from thalweg._methods import table

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "thalweg"
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^```\w+\n[#%] (\S+)\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE))


def the_map():
    """The names of the layout block under src/thalweg, from the top down."""
    block = re.search(r"^src/thalweg/\n(.*?)^tests/", TEXT, flags=re.DOTALL | re.MULTILINE)
    return [line.split()[0].removesuffix("/").removesuffix(".py") for line in block[1].splitlines()]


def test_the_map_shows_every_module():
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(the_map()) == there - {"__init__", "__main__"}
    # Rooms, not a corridor.
    assert len(list(PACKAGE.glob("*.py"))) <= 12


def imported(path):
    """What a file of the package imports from its own package when it is loaded, by the name of the map."""
    here = path.relative_to(PACKAGE.parent).parts[:-1]
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*here[: len(here) - node.level + 1], *(node.module or "").split(".")]
            found = [part for part in base if part][1:2]
            yield from found or [alias.name for alias in node.names if alias.name in the_map()]


@pytest.mark.parametrize("name", the_map())
def test_imports_go_one_way(name):
    order = the_map()
    files = [PACKAGE / f"{name}.py"] if (PACKAGE / f"{name}.py").exists() else sorted((PACKAGE / name).rglob("*.py"))
    for file in files:
        for other in imported(file):
            assert order.index(other) <= order.index(name), f"{file.relative_to(ROOT)} imports {other}, which is below"


def is_forward(function):
    """Whether a function does nothing but hand over to what it imports: a public method at home in a later room."""
    *before, last = function.body
    imports = before[1:] if ast.get_docstring(function) is not None else before
    return isinstance(last, ast.Return) and all(isinstance(node, ast.ImportFrom) for node in imports)


def needed(node, package):
    """Modules that a file needs to do its work: all that it imports anywhere, but for types and for forwards."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef) and is_forward(child):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom) and child.level:
            base = ".".join((*package[: len(package) - child.level + 1], *filter(None, [child.module])))
            for alias in child.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base
        yield from needed(child, package)


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def test_no_two_files_need_each_other():
    graph = {}
    for name, path in MODULES.items():
        package = path.relative_to(PACKAGE.parent).parts[:-1]
        graph[name] = set(needed(ast.parse(path.read_text("utf-8")), package)) - {name}
    assert sum(map(len, graph.values())) > 500
    # Raises CycleError, which names the circle.
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.fixture
def skeleton(tmp_path, monkeypatch):
    """The row that a reader gets who copies the three blocks: the file, the row, the citation."""
    code = BLOCKS["src/thalweg/schemes/semi_implicit_euler.py"]
    (tmp_path / "semi_implicit_euler.py").write_text(code, "utf-8")
    # The package looks for its modules here too, so that the file is imported as if it lay in schemes/.
    monkeypatch.setattr(schemes, "__path__", [*schemes.__path__, str(tmp_path)])
    names = dict(vars(table))
    before, last = re.fullmatch(
        r"(.*?)\n\n(Row\(.*\))\n", BLOCKS["src/thalweg/_methods/table.py"], flags=re.DOTALL
    ).groups()
    exec(before, names)
    yield eval(last, names)
    sys.modules.pop("thalweg.schemes.semi_implicit_euler")
    if hasattr(schemes, "semi_implicit_euler"):
        delattr(schemes, "semi_implicit_euler")


def test_the_skeleton_has_a_row_and_a_citation(skeleton):
    assert skeleton.as_dict() == {
        "name": "semi_implicit_euler",
        "aliases": [],
        "dynamics": "HeavyBall",
        "scheme": "SemiImplicitEuler",
        "order": 1,
        "gradients_per_step": 1,
        "stability": f"step_size < {np.sqrt(5) - 1:.6g} at friction=1",
        "reference": "hairer2006",
    }
    assert f"{{{skeleton.reference}," in BLOCKS["docs/references.bib"]


@pytest.mark.parametrize(("friction", "curvature"), [(0.0, 1.0), (0.3, 4.0), (2.0, 0.7)])
def test_the_skeleton_is_stable_up_to_its_closed_form(skeleton, friction, curvature):
    # The determinant of a step is 1 - a h and its trace 2 - a h - h^2 l (a the friction, l the curvature), and the
    # first eigenvalue to leave the circle leaves it at -1: l h^2 + 2 a h - 4 = 0.
    method = skeleton.build(None, friction=friction)
    limit = (np.sqrt(friction**2 + 4 * curvature) - friction) / curvature
    assert tw.analysis.largest_stable_step(method, curvature) == pytest.approx(limit, rel=1e-9)


def test_the_skeleton_is_momentum(skeleton):
    step, friction = 0.2, 1.5
    hessian = jnp.array([[2.0, 0.3], [0.3, 1.0]])
    method = skeleton.build(lambda x: 0.5 * x @ hessian @ x, step_size=step, friction=friction)
    state = method.init(jnp.array([1.0, -2.0]))
    x, v = np.array([1.0, -2.0]), np.zeros(2)
    for _ in range(20):
        state = method.step(state)
        v = (1 - friction * step) * v - step**2 * np.asarray(hessian) @ x
        x = x + v
    np.testing.assert_allclose(state.position, x, rtol=0, atol=1e-14)


def test_the_skeleton_is_of_first_order(skeleton):
    friction, curvature, end = 0.6, jnp.array([1.0, 2.5, 7.0]), 2.0
    start, push = jnp.array([1.0, -0.5, 2.0]), jnp.array([0.3, 1.0, -1.0])

    def error(steps):
        method = skeleton.build(lambda x: 0.5 * jnp.sum(curvature * x * x), step_size=end / steps, friction=friction)
        state, _ = jax.lax.scan(lambda s, _: (method.step(s), None), method.init(start, push), length=steps)
        # The exact motion, mode by mode: exp(-a t / 2) times an oscillation of frequency w.
        half, w = friction / 2, jnp.sqrt(curvature - friction**2 / 4)
        exact = jnp.exp(-half * end) * (start * jnp.cos(w * end) + (push + half * start) / w * jnp.sin(w * end))
        return float(jnp.linalg.norm(state.position - exact))

    assert np.log2(error(2000) / error(4000)) == pytest.approx(1.0, abs=0.02)


def test_the_skeleton_refuses_a_law_without_its_parts(skeleton):
    flow = tw.GradientFlow(lambda x: jnp.sum(x**2))
    with pytest.raises(tw.InputError, match="SemiImplicitEuler acts on force and friction"):
        tw.Method(flow, skeleton.scheme, 0.1)


def test_the_skeleton_works_outside_the_house_by_public_imports(skeleton):
    """The scheme's file with its imports from the house written as the text says that they are written elsewhere."""
    code = BLOCKS["src/thalweg/schemes/semi_implicit_euler.py"]
    inside = re.search(r"from \.\.(?:.|\n)*?start_velocity\n", code)[0]
    outside = re.search(r"^```python\n((?:from thalweg\.\w+ import .*\n)+)```", TEXT, flags=re.MULTILINE)[1]
    names = {"__name__": "elsewhere"}
    exec(code.replace(inside, outside), names)
    ball = tw.HeavyBall(lambda x: 0.5 * jnp.sum(x**2), friction=1.0)
    ends = [
        tw.run(tw.Method(ball, scheme, 0.1), jnp.ones(2), 20).final.position
        for scheme in (names["SemiImplicitEuler"](), skeleton.scheme)
    ]
    np.testing.assert_array_equal(*ends)


def test_the_example_of_the_skeleton_runs(skeleton):
    result = doctest.testmod(sys.modules[type(skeleton.scheme).__module__])
    assert (result.attempted, result.failed) == (4, 0)
