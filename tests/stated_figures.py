"""Figures that a page states, beside those of the latest result of a benchmark."""

from functools import cache
from typing import Any

from tools.results import ROOT, latest


@cache
def words(page: str) -> str:
    """A page's text on one line."""
    return " ".join((ROOT / page).read_text().split())


def figure(benchmark: str, place: str) -> Any:
    """Of the latest result, by its keys joined with slashes."""
    found = latest(benchmark)
    for key in place.split("/"):
        found = found[key]
    return found


def require_stated(page: str, sentence: str, benchmark: str, place: str, names: str) -> None:
    """Fail unless the page has the sentence, its places filled with the figures `names` (joined with blanks) of the
    result at `place`."""
    measured = figure(benchmark, place)
    stated = sentence.format(*(measured[name] for name in names.split()))
    assert stated in words(page), f"{page} does not say, of the latest {benchmark}: {stated}"
