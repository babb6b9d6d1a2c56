"""Files of JSON lines: what a kill cut off is left out and written over, and nothing else is lost."""

import pytest

from dexhot.data.json_lines import add_line, read_lines
from dexhot.errors import FileFormatError


def read(path):
    return read_lines(path, lambda row: row["n"], "remove it")


@pytest.mark.parametrize("last, kept", [("", 0), ('{"n": 2', 0), ("{", 0), ('{"n": 2}', 1), ('{"n": 2}\n', 1)])
def test_a_last_line_that_was_cut_off_gives_its_place_to_the_next(last, kept, tmp_path):
    path = tmp_path / "new" / "rows.jsonl"
    assert read(path) == []
    add_line(path, {"n": 1})
    with open(path, "a") as stream:
        stream.write(last)
    before = [1, *[2] * kept]
    assert read(path) == before
    add_line(path, {"n": 3})
    assert read(path) == [*before, 3] and path.read_text().count("\n") == len(before) + 1


@pytest.mark.parametrize(
    "content", [b'{"n": 1}\n{"n\n{"n": 3}\n', b'{"n": 1}\nnotes', b'{"n": 1}\n[1]', b"{}\n\xff\xfe\n"]
)
def test_any_other_line_that_cannot_be_read_is_named_with_the_remedy(content, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"rows\.jsonl, line 2 is damaged: remove it\."):
        read_lines(path, dict, "remove it")
    assert path.read_bytes() == content


def test_what_is_made_of_a_line_may_refuse_it(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"n": "a"}\n')
    with pytest.raises(FileFormatError, match="line 1 is damaged"):
        read_lines(path, lambda row: int(row["n"]), "remove it")
