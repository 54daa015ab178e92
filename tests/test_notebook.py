"""Results as a notebook shows them: HTML without a script, with what a user would look for."""

from html.parser import HTMLParser

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._showing.html import curve_html


class Read(HTMLParser):
    """Tags that are closed, and the text between them."""

    def __init__(self, content):
        super().__init__()
        self.open, self.text, self.tags = [], [], set()
        self.feed(content)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        assert not any(name.startswith("on") for name, _ in attributes)
        self.tags.add(tag)
        if tag != "polyline":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def bowl(x):
    return 0.5 * jnp.sum(x**2)


METHOD = tw.momentum(bowl, 0.25, 0.5)
SHOWN = {
    "method": (lambda folder: METHOD, ["HeavyBall", "learning_rate", "0.25"]),
    "run": (lambda folder: tw.run(METHOD, jnp.ones(2), 5), ["finished", "loss", "0.25"]),
    "run on disk": (lambda folder: tw.Run.load(tw.run(METHOD, jnp.ones(2), 5, out=folder).path), ["finished", "loss"]),
    "comparison": (lambda folder: tw.compare({"<b>mine</b>": METHOD}, jnp.ones(2), 1e-3), ["<b>mine</b>", "predicted"]),
    "runs": (lambda folder: tw.compare_runs({"a": tw.run(METHOD, jnp.ones(2), 5)}), ["a", "seconds"]),
    "sweep": (
        lambda folder: tw.sweep(lambda learning_rate: tw.gradient_descent(bowl, learning_rate),
                                {"learning_rate": jnp.array([0.5, 0.75])}, jnp.ones(2), 3),
        ["learning rate", "0.75", "final loss"],
    ),
    "table": (lambda folder: tw.table(), ["momentum", "HeavyBall", "learning_rate 0.1"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_a_result_shows_itself(tmp_path, name):
    make, words = SHOWN[name]
    found = Read(make(tmp_path / "a")._repr_html_())
    assert "table" in found.tags and "script" not in found.tags
    for word in words:
        assert any(word in text for text in found.text), word


@pytest.mark.parametrize("count", [2, 3, 299, 300, 301, 100_000])
def test_the_picture_of_a_curve_has_its_extremes(count):
    values = np.ones(count)
    values[-1] = 100.0
    found = curve_html(values, "loss")
    points = found.split('points="')[1].split('"')[0].split()
    assert len(points) <= 302 and points[-1] == "318.0,2.0"
    assert curve_html(values[:1], "loss") == "" and curve_html([np.nan, np.inf], "loss") == ""
