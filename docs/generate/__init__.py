"""What the pages hold that is made from the package: a marker `<!-- name words -->` in a page, and what goes there."""

import re
from collections.abc import Callable

from . import api, ledger, peers, tables

MARKERS: dict[str, Callable[..., str]] = {
    "methods": tables.methods,
    "targets": tables.targets,
    "optimizer-checks": tables.optimizer_checks,
    "method-checks": tables.method_checks,
    "names": api.names,
    "articles": ledger.articles,
    "sentences": ledger.sentences,
    "other-claims": ledger.other_claims,
    "peers": peers.summary,
}
MARKER = re.compile(r"^<!-- ([\w-]+)((?: \S+)*) -->$", flags=re.MULTILINE)


def filled(text: str) -> str:
    """A page with what is generated in the place of its markers; a marker that nobody knows is an error."""
    return MARKER.sub(lambda found: MARKERS[found[1]](*found[2].split()), text)
