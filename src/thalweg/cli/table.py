"""thalweg table."""

from ._output import print_json, print_table


def table(*, json: bool = False) -> None:
    """List every method: its law of motion, scheme, order, gradients a step and stability.

    Parameters
    ----------
    json
        Print a list of objects.
    """
    import thalweg as tw

    rows = [row.as_dict() for row in tw.table()]
    if json:
        print_json(rows)
        return
    cells = [[", ".join(value) if isinstance(value, list) else value for value in row.values()] for row in rows]
    print_table([name.replace("_", " ") for name in rows[0]], cells, "Stability at curvature 1")
