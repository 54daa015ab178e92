"""thalweg table."""

from ._options import Json
from ._output import print_json, print_table


def table(*, json: Json = False) -> None:
    """List every method: its law of motion, scheme, order, gradients a step and stability."""
    import thalweg as tw

    rows = tw.table()
    found = [row.as_dict() for row in rows]
    if json:
        print_json(found)
        return
    shown = [one | {"gradients_per_step": row.gradients} for row, one in zip(rows, found, strict=True)]
    cells = [[", ".join(value) if isinstance(value, list) else value for value in one.values()] for one in shown]
    print_table([name.replace("_", " ") for name in shown[0]], cells, "Stability at curvature 1")
