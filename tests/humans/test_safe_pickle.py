"""Pickles of datasets: torch's tensors without torch, object arrays in a .npz, and files that want to run something."""

import os
import pickle

import numpy as np
import pytest

from dexhot.errors import FileFormatError
from dexhot.humans.safe_pickle import read_object_npz, read_pickle


class Hostile:
    def __reduce__(self):
        return os.system, ("touch should_not_exist",)


def test_tensors_are_arrays_without_torch(tmp_path):
    torch = pytest.importorskip("torch")
    whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    data = {"a": whole[1:, ::2], "b": torch.nn.Parameter(whole.double()), "c": 3}
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(data))
    found = read_pickle(tmp_path / "t.pkl")
    assert np.array_equal(found["a"], whole[1:, ::2].numpy()) and found["a"].dtype == np.float32
    assert np.array_equal(found["b"], whole.numpy()) and found["b"].dtype == np.float64
    assert found["c"] == 3


def test_dictionaries_in_a_npz_are_read(tmp_path):
    params = {"transl": np.arange(6.0).reshape(2, 3)}
    np.savez(tmp_path / "s.npz", rhand={"params": params, "vtemp": "x.ply"}, framerate=120.0, plain=np.arange(3))
    found = read_object_npz(tmp_path / "s.npz")
    assert np.array_equal(found["rhand"]["params"]["transl"], params["transl"]) and found["framerate"] == 120.0
    assert found["rhand"]["vtemp"] == "x.ply" and np.array_equal(found["plain"], np.arange(3))


@pytest.mark.parametrize("kind", ["pickle", "npz"])
def test_a_file_that_wants_to_run_something_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil"
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"a": Hostile()}))
    else:
        np.savez(tmp_path / "evil.npz", a={"b": Hostile()})
        path = tmp_path / "evil.npz"
    with pytest.raises(FileFormatError, match=r"wants to call (posix|nt)\.system"):
        (read_pickle if kind == "pickle" else read_object_npz)(path)
    assert not (tmp_path / "should_not_exist").exists()


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    torch = pytest.importorskip("torch")

    class Beyond:
        def __reduce__(self):
            kind, (_, *rest) = torch._utils._rebuild_tensor_v2, (None,)
            return kind, (torch.zeros(4).storage(), 0, (100,), (1,), False, None, *rest)

    (tmp_path / "t.pkl").write_bytes(pickle.dumps(Beyond()))
    with pytest.raises(FileFormatError, match="beyond its storage"):
        read_pickle(tmp_path / "t.pkl")


def test_a_truncated_file_is_refused(tmp_path):
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(np.arange(1000.0))[:-500])
    with pytest.raises(FileFormatError, match=r"t\.pkl was refused"):
        read_pickle(tmp_path / "t.pkl")
