"""`dexhot bench fit`: its metrics are those of its clips, and an ablation removes what it names."""

import numpy as np
import pytest
from tiny_clip import ASSET, tiny_clip

from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.geometry.poses import IDENTITY
from dexhot.synthesis.clip import Truth
from dexhot_bench import fit


@pytest.fixture
def drawn(monkeypatch):
    """A tiny clip in place of the rendered ones."""
    recording, evidence, points = tiny_clip(8)
    recording.world_T_camera = IDENTITY
    track = HandTrack(points, wrist_pose(points, "right"), np.ones((8, 21)))
    clip = HandObjectTrajectory("tiny", recording.time, {"right": track}, ASSET.name, evidence.object_pose)
    monkeypatch.setattr(
        fit, "rendered", lambda count, frames: ([("tiny", recording, evidence, Truth(clip, evidence))], [])
    )
    monkeypatch.setattr(fit, "load_object", lambda name: ASSET)


def test_the_metrics_are_those_of_the_clips(drawn):
    found = fit.run(quick=True)
    metrics = found["metrics"]
    assert found["subset"] == ["tiny"] and metrics["mpjpe_mm"] == found["by_clip"]["tiny"]["mpjpe_mm"] < 10.0
    assert metrics["t_err_mm"] < 3.0 and metrics["r_err_deg"] < 4.0 and metrics["r_err_deg"] <= metrics["r_err_raw_deg"]
    assert metrics["mask_iou"] > 0.9 and metrics["lost_fraction"] == 0.0 and metrics["init_success"] == 1.0
    assert metrics["fps"] == pytest.approx(1e3 / metrics["fit_ms_p50"])
    assert metrics["e2e_unseen_fraction"] == 1.0 and "e2e_fps" not in metrics  # pictures in which there is nothing
    assert any(note.startswith("tiny: ") for note in found["notes"])


def test_an_ablation_leaves_a_term_out(drawn, monkeypatch):
    """Without the joints' pixels and depth, or the surface, the hand is worse; every term has its row."""
    left_out = []
    real = fit.fit_one
    monkeypatch.setattr(
        fit, "fit_one", lambda clip, recipe, frames=None: left_out.append(set(recipe.terms)) or real(clip, recipe, 3)
    )
    found = fit.run(quick=True, ablate=True)
    terms = fit.load_recipe("default").terms
    assert set(found["ablation"]) == {f"without {name}" for name in terms}
    assert [set(terms) - kept for kept in left_out[2:]] == [{name} for name in terms]
