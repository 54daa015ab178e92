"""Tables: side by side where they fit, a block a row where they do not."""

import jax.numpy as jnp
import pytest

import thalweg as tw
from thalweg._showing.text import blocks, make_table, plain, width_of_terminal

COLUMNS = ("name", "law of motion", "scheme", "order", "gradients per step", "stability")
ROWS = [
    ("gradient_descent", "GradientFlow", "Euler", 1, 1, "learning_rate < 2"),
    ("momentum_by_a_long_name", "HeavyBall", "Leapfrog, from an empty buffer", 1, None, "learning_rate < 3.8"),
]


@pytest.mark.parametrize("width", [30, 60, 80, 140])
def test_a_table_fits_and_breaks_no_word(width):
    text = plain(make_table(COLUMNS, ROWS, "Stability at curvature 1"), width)
    assert max(map(len, text.splitlines())) <= width
    words = {word for row in ROWS for cell in row if isinstance(cell, str) for word in cell.split()}
    # Of 30 columns the names of the cells take most.
    assert width == 30 or words <= set(text.split())
    assert text.startswith("Stability at curvature 1")


def test_blocks_say_what_each_cell_is():
    text = blocks(COLUMNS[:4], [row[:4] for row in ROWS], "Two", 60)
    assert text.splitlines()[:4] == ["Two", "", "gradient_descent", "  law of motion  GradientFlow"]
    assert "  order          1" in text


def test_brackets_of_a_cell_are_no_markup():
    assert "[bold]a[/bold]" in plain(make_table(("a", "b"), [("[bold]a[/bold]", "x" * 50)]), 30)


def test_what_python_prints_fits_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert width_of_terminal() == 60
    f = tw.Objective(lambda x: 0.5 * jnp.sum(x**2), minimum=0.0)
    both = {"descent": tw.gradient_descent(f, 0.1), "with momentum": tw.momentum(f, 0.1, 0.5)}
    shown = repr(tw.compare(both, jnp.ones(2), max_steps=5, limits=False))
    assert max(map(len, shown.splitlines())) <= 60
    assert {"descent", "predicted", "regime"} <= set(shown.split())


def test_a_pipe_without_a_width_is_wide(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width_of_terminal(33) >= 33
