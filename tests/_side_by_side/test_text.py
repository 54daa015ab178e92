"""The head of the tables: what a method is, its numbers, its gradients."""

import jax.numpy as jnp

import thalweg as tw
from thalweg._side_by_side.text import head


def schedule(step):
    return 0.1 / (1.0 + step)


def test_a_head_says_what_was_reached_and_names_a_function():
    assert head("gd", {"learning_rate": 0.25, "momentum": 0.9}, 12, True) == (
        "gd",
        "learning rate 0.25, momentum 0.9",
        "12",
    )
    assert head("gd", {"step_size": schedule}, 12, False) == ("gd", "step size schedule", "> 12")
    assert head("gd", {"step_size": lambda step: 0.1, "count": 3}, 1, True)[1] == "step size varying, count 3"


def test_methods_and_runs_have_the_same_head():
    def f(x):
        return 0.5 * jnp.sum(x**2)

    compared = tw.compare({"descent": tw.gradient_descent(f, 0.125)}, jnp.ones(2), 1e-3, 20, limits=False)
    runs = tw.compare_runs(compared.runs)
    for table in (compared.as_table(), runs.as_table()):
        cells = {column.header: list(column.cells) for column in table.columns}
        assert cells["settings"] == ["learning rate 0.125"]
        assert cells["gradients"] == ["> 20"]
