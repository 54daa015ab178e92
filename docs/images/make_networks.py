"""Draw the picture of networks in depth: `python docs/images/make_networks.py`."""

import re
from pathlib import Path

from matplotlib.figure import Figure

import thalweg as tw

HERE = Path(__file__).parent


def main() -> None:
    # The networks of the page itself.
    names: dict = {"__name__": "__main__"}
    page = (HERE.parent / "networks.md").read_text("utf-8")
    for code in re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE):
        exec(compile(code, "networks.md", "exec"), names)
    images, labels = names["images"][names["rest"]][:200], names["labels"][names["rest"]][:200]
    figure = Figure(figsize=(13.5, 8.0), layout="constrained", dpi=100)
    for row, name in zip(figure.subplots(2, 3), ("gentle", "coarse"), strict=True):
        tw.plot.depth(names[name], images, labels, ax=row[0])
        tw.plot.depth_transfer(names["found"][name], axes=row[1:])
        row[0].set_ylabel(f"{name}: second direction of the ends")
        row[2].set_ylabel("radius of a step; margin")
    figure.savefig(HERE / "networks.png")


if __name__ == "__main__":
    main()
