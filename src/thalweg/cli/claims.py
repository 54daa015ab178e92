"""thalweg claims."""

from ._output import print_json, print_table


def claims(*ids: str, json: bool = False) -> None:
    """Check what articles and textbooks say about these methods, each by an experiment.

    Parameters
    ----------
    ids
        Claims to check [all].
    json
        Print a list of objects.
    """
    import thalweg as tw

    rows = [verdict.as_dict() for verdict in tw.claims.check(*ids)]
    if json:
        print_json(rows)
        return
    columns = ("id", "statement", "expected", "measured", "verdict", "correction")
    print_table(columns, [[row[name] for name in columns] for row in rows])
