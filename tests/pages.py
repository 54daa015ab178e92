"""Pages as tests read them: tags, words, tables."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """Tags with their attributes, the text, the cells of the table."""

    VOID = frozenset({"meta", "input", "br", "link", "img", "hr"})

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text()
        self.tags, self.text, self.open, self.rows, self.labels = [], [], [], [], {}
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append([dict(attrs).get("data-value"), ""])
        self.label = dict(attrs).get("for") if tag == "label" else None

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if "style" not in self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1][1] += data
        if self.open and self.open[-1] == "label":
            self.labels[self.label] = data

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def words(self):
        return " ".join("".join(self.text).split())


def fetches_nothing(page, scripts=0):
    """Nothing comes from elsewhere, and scripts are as many as are known of."""
    assert "http://" not in page.source and "https://" not in page.source and "@import" not in page.source
    assert len(page.of("script")) == scripts and not page.of("link") and not page.of("iframe")
    for _, attrs in page.tags:
        for name in ("src", "href", "data", "poster", "srcset"):
            assert attrs.get(name) is None or attrs[name].startswith(("#", "data:image/png;base64,"))
    assert all(found.startswith("#") for found in re.findall(r"url\(([^)]*)\)", page.source))


def ids_are_unique(page):
    """Each id stands once, and what refers to one finds it."""
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    used = [attrs["href"][1:] for _, attrs in page.tags if attrs.get("href", "").startswith("#")]
    used += re.findall(r"url\(#([^)]*)\)", page.source)
    assert used and set(used) <= set(ids)
