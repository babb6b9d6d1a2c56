"""Pages and pictures that dexhot writes again are its own: those of the user stay."""

import json
from pathlib import Path

import pytest

from dexhot.cli import main
from dexhot.data.files import kind_of
from dexhot.errors import DexhotError
from dexhot.report.gallery import check_gallery
from dexhot.report.html import plain_page


def test_a_gallery_replaces_its_own_page_alone(tmp_path):
    assert check_gallery(tmp_path / "new") == tmp_path / "new"
    page = tmp_path / "index.html"
    page.write_text("<p>precious</p>")
    with pytest.raises(DexhotError, match="did not write"):
        check_gallery(tmp_path)
    page.write_text(plain_page("planned on test", ""))
    assert kind_of(page) == "dexhot/page" and check_gallery(tmp_path) == tmp_path


@pytest.mark.parametrize("name", ["c.html", "c.png"])
def test_curves_replace_their_own_figure_alone(tmp_path, name, capsys):
    out = tmp_path / name
    out.write_text("mine")
    folder = tmp_path / "training"
    folder.mkdir()
    row = {"iteration": 1, "steps": 100, "return": 1.0, "tracked": 0.1, "T_err_cm": 2.0, "completed": 0.5}
    (folder / "curve.jsonl").write_text(json.dumps(row) + "\n")
    assert main(["train", "curves", str(folder), "--out", str(out)]) == 1
    assert "--force" in capsys.readouterr().err and Path(out).read_text() == "mine"


def test_an_evaluation_s_folder_of_demonstrations_must_be_there(tmp_path, capsys):
    words = ["evaluate", "--controller", "planned", "--dataset", "parametric", "--split", "train"]
    assert main([*words, "--clips", "parametric/lift-box-100", "--demonstrations", str(tmp_path / "nowhere")]) == 1
    assert "nowhere is not a folder" in " ".join(capsys.readouterr().err.split())
