"""thalweg table."""

from typing import Annotated

from cyclopts import Parameter

from ._options import Json
from ._output import print_json, print_table
from ._spec import chosen, parse_method


def table(
    *, method: Annotated[list[str] | None, Parameter(name=["--method", "-m"])] = None, json: Json = False
) -> None:
    """List every method: its law of motion, scheme, order, gradients a step and stability.

    Parameters
    ----------
    method
        Only this one, NAME or NAME:momentum=0.5, or one of yours, module:factory or module:factory:name=value; repeat
        it.
    """
    import thalweg as tw

    rows = [chosen(*parse_method(spec)) for spec in method] if method else tw.table()
    found = [row.as_dict() for row in rows]
    if json:
        print_json(found)
        return
    shown = [one | {"gradients_per_step": row.gradients} for row, one in zip(rows, found, strict=True)]
    cells = [[", ".join(value) if isinstance(value, list) else value for value in one.values()] for one in shown]
    print_table([name.replace("_", " ") for name in shown[0]], cells, "Stability at curvature 1")
