"""Write down the verdicts that the documentation shows: `python -m tools.claims_ledger`, from the root.

It makes every experiment of the ledger, which takes minutes; `python -m tools.claims_ledger 003.9 kramers-law` makes
those alone, and leaves the rest of the file as it is; `python -m tools.claims_ledger stale` makes those that the file
lacks or says otherwise. Claims that the ledger has no more are left out.
"""

import datetime
import json
import platform
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from thalweg import claims

FILE = Path(__file__).parents[1] / "docs" / "reference" / "claims" / "ledger.json"


def read() -> dict[str, dict[str, Any]]:
    """What the file holds, by the name of the claim."""
    if not FILE.exists():
        return {}
    return {row["id"]: row for row in json.loads(FILE.read_text("utf-8"))["claims"]}


def stale() -> list[str]:
    """The claims that the file lacks, or whose statement, source or sentences are others there."""
    kept = read()
    return [one.id for one in claims.ledger() if one.id not in kept or kept[one.id] != kept[one.id] | said(one)]


def said(claim: claims.Claim) -> dict[str, Any]:
    """What a claim says before it is judged."""
    return {"source": claim.source, "statement": claim.statement, "sentences": list(claim.sentences)}


def row(claim: claims.Claim) -> dict[str, Any]:
    """A claim, judged, as the file holds it."""
    found = claim.check().as_dict()
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return found | said(claim) | {"made": today}


def write(rows: list[dict[str, Any]]) -> None:
    """A line a claim, so that two branches that add claims differ in their own lines alone."""
    made_with = (
        f"Python {platform.python_version()}, jax {jax.__version__}, numpy {np.__version__}, {platform.machine()}"
    )
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    command = json.dumps("python -m tools.claims_ledger")
    FILE.write_text(f'{{"command": {command}, "with": {json.dumps(made_with)}, "claims": [\n{lines}\n]}}\n', "utf-8")


def main(*ids: str) -> None:
    """Judge the claims of these names, sentences or articles, or all, and keep what is found as it is found."""
    asked = set(stale()) if ids == ("stale",) else {claim.id for claim in claims.find(*ids)}
    kept = read()
    for count, claim in enumerate((one for one in claims.ledger() if one.id in asked), start=1):
        kept[claim.id] = row(claim)
        print(f"{count} of {len(asked)}  {claim.id}: {kept[claim.id]['verdict']}", flush=True)
        write([kept[one.id] for one in claims.ledger() if one.id in kept])
    write([kept[one.id] for one in claims.ledger() if one.id in kept])


if __name__ == "__main__":
    main(*sys.argv[1:])
