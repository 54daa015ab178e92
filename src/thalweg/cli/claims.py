"""thalweg claims."""

from typing import Annotated, Any

from cyclopts import Parameter

from .._errors import InputError
from ._options import Json
from ._output import print_json, print_table

_COLUMNS = ("id", "statement", "expected", "measured", "verdict", "correction", "seen")


def claims(
    *ids: str,
    list_: Annotated[bool, Parameter(name="--list", negative="")] = False,
    coverage: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Check what articles and textbooks say about these methods, each by an experiment.

    Each verdict is printed as soon as it is known; an interrupt loses none. A claim that needs an extra that is not
    installed is not checked, and the others are.

    Parameters
    ----------
    ids
        Claims to check [all], or sentences of the articles, such as 003.9, or articles, such as 003.
    list_
        Say what the claims are and who makes them, and check none.
    coverage
        Say which sentences of the articles have a claim, and check none.
    """
    import thalweg as tw

    from ..claims._ledger import UNCHECKED

    if coverage:
        if ids or list_:
            raise InputError("coverage is of all sentences; leave out the claims, and --list")
        _print_coverage(tw.claims.coverage(), json)
        return

    # All names are checked before the first experiment is made.
    asked = tw.claims.find(*ids)
    if list_:
        _print_list(asked, json)
        return
    rows: list[dict[str, Any]] = []
    try:
        if json:
            _check_all(asked, rows)
        else:
            for claim in asked:
                rows.append(claim.check().as_dict())
                _print_verdict(rows[-1])
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted: {len(rows)} of {len(asked)} claims were checked") from None
    finally:
        if json:
            print_json(rows)
    if all(row["verdict"] == UNCHECKED for row in rows):
        raise InputError(f"none of these claims was checked: {rows[0]['seen']}")


def _check_all(asked: Any, rows: list[dict[str, Any]]) -> None:
    from .._loops.progress import Progress

    with Progress(len(asked), None, "claims") as progress:
        for claim in asked:
            rows.append(claim.check().as_dict())
            progress.update(len(rows), None)


def _print_list(asked: Any, json: bool) -> None:
    rows = [{"id": claim.id, "source": claim.source, "statement": claim.statement} for claim in asked]
    if json:
        print_json(rows)
    else:
        columns = ("id", "source", "statement")
        print_table(columns, [[row[name] for name in columns] for row in rows])


def _print_verdict(row: dict[str, Any]) -> None:
    from .._showing.text import blocks, width_of_terminal
    from ..claims._ledger import UNCHECKED

    if row["verdict"] == UNCHECKED:
        print(f"{row['id']}: {UNCHECKED}, {row['seen']}", end="\n\n", flush=True)
        return
    columns = [name for name in _COLUMNS if row[name] != ""]
    print(blocks(columns, [[row[name] for name in columns]], None, width_of_terminal()), end="\n\n", flush=True)


def _print_coverage(rows: Any, json: bool) -> None:
    if json:
        print_json(rows)
        return
    from ..claims import ARTICLES

    counts = []
    for article, title in [*ARTICLES.items(), ("", "in all")]:
        own = [row for row in rows if row["id"].startswith(article)]
        judged, excused = (sum(bool(row[name]) for row in own) for name in ("claims", "reason"))
        counts.append((article, title.removeprefix("article: "), len(own), judged, excused))
    print_table(("article", "", "sentences", "with a claim", "with a reason for none"), counts)
    for name, heading in (("reason", "no claim, because it"), ("text", "no claim yet")):
        left = [row for row in rows if not row["claims"] and bool(row["reason"]) == (name == "reason")]
        if left:
            print()
            print_table(("sentence", "group", heading), [(row["id"], row["group"], row[name]) for row in left])
