"""thalweg claims."""

from ._options import Json
from ._output import print_json, print_table


def claims(*ids: str, json: Json = False) -> None:
    """Check what articles and textbooks say about these methods, each by an experiment.

    Parameters
    ----------
    ids
        Claims to check [all].
    """
    import thalweg as tw

    from .._loops.progress import Progress

    # All names are checked before the first experiment is made.
    asked = tw.claims.find(*ids)
    rows = []
    with Progress(len(asked), None, "claims") as progress:
        for claim in asked:
            rows.append(claim.check().as_dict())
            progress.update(len(rows), None)
    if json:
        print_json(rows)
        return
    columns = ("id", "statement", "expected", "measured", "verdict", "correction")
    print_table(columns, [[row[name] for name in columns] for row in rows])
