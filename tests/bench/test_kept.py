"""What benchmarks keep of long runs."""

import time

from dexhot_bench import kept as module
from dexhot_bench.kept import Deadline, Kept, code_key

LATE, EARLY = Deadline(0.0, began=float("-inf")), Deadline()


def test_a_value_is_measured_once_and_kept_at_once(tmp_path):
    path = tmp_path / "bench" / "values.json"
    assert Kept(path).measured("a", lambda: 1.0, EARLY) == 1.0
    assert Kept(path).measured("a", lambda: 2.0, EARLY) == 1.0


def test_what_cannot_be_measured_is_tried_again(tmp_path):
    kept = Kept(tmp_path / "values.json")
    assert kept.measured("a", lambda: None, EARLY) is None and kept.measured("a", lambda: 1.0, EARLY) == 1.0


def test_after_the_deadline_nothing_is_begun():
    assert LATE.over and not EARLY.over and not Deadline(60.0).over
    assert [Deadline(1.0, time.monotonic() - seconds).over for seconds in (30.0, 61.0)] == [False, True]
    kept = Kept(None)
    kept.put("a", 1.0)
    assert kept.measured("a", lambda: 2.0, LATE) == 1.0 and kept.measured("b", lambda: 2.0, LATE) is None


def test_values_of_other_code_do_not_count(tmp_path):
    path = tmp_path / "values.json"
    Kept(path, "old").put("a", {"x": 1})
    assert Kept(path, "old").get("a") == {"x": 1}
    assert Kept(path, "new").get("a") is None and Kept(path).get("a") is None


def test_two_runs_fill_one_file(tmp_path):
    one, other = Kept(tmp_path / "values.json"), Kept(tmp_path / "values.json")
    one.put("a", 1)
    other.put("b", 2)
    assert Kept(tmp_path / "values.json").found == {"a": 1, "b": 2} and other.get("a") == 1


def test_the_key_is_that_of_the_code(tmp_path, monkeypatch):
    (tmp_path / "fitting").mkdir()
    (tmp_path / "fitting" / "a.py").write_text("x = 1")
    (tmp_path / "bench.py").write_text("y = 1")
    monkeypatch.setattr(module.dexhot, "__file__", str(tmp_path / "__init__.py"))

    def key():
        return code_key(["fitting"], str(tmp_path / "bench.py"), mining=False)

    first = key()
    assert key() == first
    for file in ("fitting/a.py", "bench.py"):
        (tmp_path / file).write_text("z = 2")
        assert key() != first
        first = key()
    monkeypatch.setattr(module, "source_hash", lambda: "another simulation")
    assert key() == first and code_key(["fitting"]) != code_key(["fitting"], mining=False)
