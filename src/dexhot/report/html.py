"""HTML fragments shared by the report's sections."""

import base64
from html import escape
from pathlib import Path
from typing import Any

from dexhot.data.files import PAGE_MARK

STYLE = (
    "body{font:15px/1.5 system-ui;max-width:70em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}"
    ".n{text-align:right}.scroll{overflow-x:auto}"
)


def plain_page(title: str, body: str) -> str:
    """A page of tables and drawings, a single file without scripts. `body` is HTML below the heading."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"{PAGE_MARK}<title>{escape(title)}</title><style>{STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><h1>{escape(title)}</h1>{body}</body></html>\n'


def scroll(inner: str) -> str:
    """A container that scrolls sideways, with a visible hint, when wider than the screen."""
    return f'<div class="scroll" tabindex="0">{inner}</div>'


def html_table(rows: list[list[str]], styles: list[str]) -> str:
    """Rows of HTML cells, the first one the head; `styles` are the columns' classes."""
    head, *body = (
        "".join(f'<{tag} class="{style}">{cell}</{tag}>' for style, cell in zip(styles, row))
        for tag, row in zip(["th"] + ["td"] * len(rows), rows)
    )
    return scroll(f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in body)}</table>")


def inline(content: Path | bytes, kind: str) -> str:
    """A file, or its content, as a data URL, so that the page is a single file."""
    data = content if isinstance(content, bytes) else content.read_bytes()
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def mark(passed: bool) -> str:
    """Pass or fail, in words and in colour."""
    word = "pass" if passed else "fail"
    return f'<span class="{word}-text">{word}</span>'


def chip(passed: bool | None, text: str) -> str:
    """A verdict as a rounded label; None: neutral."""
    style, sign = {True: ("pass", "✓"), False: ("fail", "✗"), None: ("none", "·")}[passed]
    return f'<span class="verdict {style}"><b aria-hidden="true">{sign}</b> {escape(text)}</span>'


def entries(value: Any) -> str:
    """HTML of one fact: the entries of a dict in a line, with nested dicts collapsed."""
    if not isinstance(value, dict):
        return escape(plain(value))
    known = {k: v for k, v in value.items() if v not in (None, "", [], {})}
    flat = [f"<i>{escape(k)}</i> {escape(plain(v))}" for k, v in known.items() if not isinstance(v, dict)]
    inner = {k: entries(v) for k, v in known.items() if isinstance(v, dict)}
    folded = [f"<details><summary>{escape(k)}</summary>{v}</details>" for k, v in inner.items()]
    return f"{' · '.join(flat)}{''.join(folded)}"


def plain(value: Any) -> str:
    """Text of a value: lists with commas, floats with four digits."""
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
