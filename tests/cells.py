"""Cells of a notebook, and what is asked of the functions in them."""

import jax.numpy as jnp

import thalweg as tw

START = jnp.zeros(2)
HEAD = "import functools, types\nimport jax, jax.numpy as jnp, numpy as np\ntraced = []\n"


def notebook(text):
    """The globals of a notebook after a cell."""
    cells = {"__name__": "notebook"}
    exec(HEAD + text, cells)
    return cells


def first_step(method):
    return float(tw.run(method, START, 1).final.position[0])
