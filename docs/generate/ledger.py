"""The claims ledger: a page an article, sentence by sentence, from the verdicts that were written down."""

import collections
import functools
import json
import re
from pathlib import Path
from typing import Any

from thalweg.claims import ARTICLES, SENTENCES

DOCS = Path(__file__).parents[1]
FILE = DOCS / "reference" / "claims" / "ledger.json"
NONE, EXCUSED = "no claim yet", "cannot be judged"
# Best first, as the counts stand; a verdict that is not here comes after them.
ORDER = ("holds", "holds with a condition", "does not hold", "open")


def record() -> dict[str, Any]:
    """The file: by what command, with what, and the rows."""
    return _read(FILE)


@functools.cache
def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def claims() -> list[dict[str, Any]]:
    """The rows of the file, in the order of the ledger."""
    return record()["claims"]


def articles() -> str:
    """How many sentences of each article have which verdict, and how the file was made."""
    states = {name: _states(name) for name in SENTENCES}
    heads = [*_verdicts(), EXCUSED, NONE]
    shown = [head for head in heads if any(head in found for found in states.values())]
    lines = ["| article | sentences | " + " | ".join(shown) + " |", "|" + " --- |" * (len(shown) + 2)]
    for number, title in ARTICLES.items():
        own = [states[name] for name in SENTENCES if name[:3] == number]
        counts = " | ".join(str(sum(head in found for found in own)) for head in shown)
        lines.append(f"| [{_plain(title)}]({number}.md) | {len(own)} | {counts} |")
    mixed = sum(len(found) > 1 for found in states.values())
    note = f"A sentence on which claims have several verdicts counts once for each: there are {mixed}."
    return "\n".join([*lines, "", note, "", _made()])


def sentences(article: str) -> str:
    """Every sentence of an article with its claims, under a count and a table of all."""
    own = [sentence for sentence in SENTENCES.values() if sentence.article == article]
    counts = collections.Counter(state for sentence in own for state in _states(sentence.id))
    told = ", ".join(f"{counts[state]} {_badge(state)}" for state in [*_verdicts(), EXCUSED, NONE] if counts[state])
    mixed = sum(len(_states(sentence.id)) > 1 for sentence in own)
    twice = f" On {mixed} of them claims have several verdicts, each of which is counted." if mixed else ""
    lines = [f"{len(own)} sentences: {told}.{twice}", "", _made(), "", "## At a glance", ""]
    lines += ["| sentence | what is said | verdict |", "| --- | --- | --- |"]
    for one in own:
        states = ", ".join(map(_badge, _states(one.id)))
        lines.append(f"| [{one.id}](#{_anchor(one.id)}) | {_text(one.text)} | {states} |")
    lines += ["", "## Sentence by sentence", ""]
    for one in own:
        lines += [f"({_anchor(one.id)})=", f"### {one.id}", "", f"> {_text(one.text)}", ""]
        judging = [row for row in claims() if one.id in row["sentences"]]
        lines += [line for row in judging for line in _claim(row)]
        if not judging:
            lines += [f"No claim judges it: it {_text(one.reason)}." if one.reason else "No claim judges it yet.", ""]
    return "\n".join(lines)


def other_claims() -> str:
    """The claims that judge no sentence of an article."""
    own = [row for row in claims() if not row["sentences"]]
    counts = collections.Counter(row["verdict"] for row in own)
    told = ", ".join(f"{counts[verdict]} {_badge(verdict)}" for verdict in _verdicts() if counts[verdict])
    lines = [f"{len(own)} claims: {told}.", "", _made(), ""]
    for row in own:
        lines += [f"(claim-{row['id']})=", f"## {row['id']}", "", f"Said by: {_text(row['source'])}.", "", *_claim(row)]
    return "\n".join(lines)


def _claim(row: dict[str, Any]) -> list[str]:
    """A claim as a box: verdict and statement, what was expected and measured, and what is so instead."""
    lines = [f":::{{container}} claim {_slug(row['verdict'])}", f"{_badge(row['verdict'])} `{row['id']}`", ""]
    lines += [_text(row["statement"]), ""]
    lines += [f"- Expected: {_text(row['expected'])}", f"- Measured: {_text(row['measured'])}"]
    if row["correction"]:
        lines.append(f"- **What is so:** {_text(row['correction'])}")
    return [*lines, ":::", ""]


def _states(sentence: str) -> list[str]:
    """The verdicts on a sentence, each once; of one without a claim, why."""
    found = list(dict.fromkeys(row["verdict"] for row in claims() if sentence in row["sentences"]))
    return sorted(found, key=_verdicts().index) or [EXCUSED if SENTENCES[sentence].reason else NONE]


def _verdicts() -> list[str]:
    """All verdicts that the file has, best first."""
    found = dict.fromkeys(row["verdict"] for row in claims())
    return [one for one in ORDER if one in found] + [one for one in found if one not in ORDER]


def _made() -> str:
    """The command that made the file, when, and where it ran."""
    held = record()
    dates = sorted({row["made"] for row in held["claims"]})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"Verdicts of {when}, made by `{held['command']}` with {held['with']}; `thalweg claims` makes them anew."


def _badge(state: str) -> str:
    return f"[{state}]{{.verdict .{_slug(state)}}}"


def _slug(state: str) -> str:
    return state.replace(" ", "-")


def _anchor(sentence: str) -> str:
    return "sentence-" + sentence.replace(".", "-")


def _plain(title: str) -> str:
    title = title.removeprefix("article: ")
    return title[:1].upper() + title[1:]


def _text(value: str | float) -> str:
    """A text of the ledger in Markdown: nothing in it is markup but the keys of references in brackets."""
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    escaped = re.sub(r"([\\`*_{}\[\]<>#|$~^])", r"\\\1", shown)
    escaped = re.sub(r"\\\[([\w, ]+\d{4}\w?)\\\]", lambda found: f"{{cite:p}}`{found[1]}`", escaped)
    return re.sub(r"(?<![\w`])([a-z]+(?:19|20)\d\d)(?![\w`])", r"{cite:t}`\1`", escaped)
