"""The rasteriser's benchmark: its scenes, its peer, and what it says where the peer is not installed."""

import numpy as np
import pytest

pytest.importorskip("warp")
from dexhot.geometry.raster.rasterizer import Rasterizer
from dexhot_bench import raster as bench


def test_the_ball_and_the_hand_stand_as_the_scenes_are_named():
    gaps = {}
    for name, center in bench.SCENES.items():
        points, faces, labels = bench.scene(center)
        hand = points[np.unique(faces[labels == bench.HAND])]
        ball = points[np.unique(faces[labels == bench.OBJECT])].mean(0)
        gaps[name] = np.linalg.norm(hand - ball, axis=1).min() - 0.035
        assert len(faces) >= 1500
    assert gaps["apart"] > 0.02 and gaps["occluding"] > 0.02 and gaps["intersecting"] < -0.005
    assert abs(gaps["touching"]) < 0.0015


def test_the_peer_draws_the_same_masks_and_pulls_the_same_way():
    torch = pytest.importorskip("torch")
    points, faces, labels = bench.scene(bench.SCENES["occluding"])
    ours, peer = Rasterizer(bench.CAMERA, faces, labels), bench.SoftRasterizer(bench.CAMERA, faces, labels)
    render = ours.forward(points[None])
    soft = peer.masks(torch.tensor(points, dtype=torch.float32)).numpy()
    assert np.abs(soft - render.mask[0]).mean() < 0.01
    target = ours.forward((points + bench.SHIFT)[None]).mask
    grads = ours.backward(render, mask=render.mask - target)[0][0], peer.fit_step(points, target[0])
    (x, y, _), (peer_x, peer_y, _) = (grad.sum(0) for grad in grads)
    assert x < 0 and y < 0 and 0.5 < peer_x / x < 1.5 and 0.3 < peer_y / y < 1.5


def test_without_torch_there_is_no_ratio_and_a_note_says_why(monkeypatch):
    def absent(*_):
        raise ImportError("no torch")

    monkeypatch.setattr(bench, "SoftRasterizer", absent)
    monkeypatch.setattr(bench, "gradient_cosine", lambda *_, every: ({8: 0.9}[every], 0.01))
    result = bench.run(quick=True)
    assert result["metrics"]["speed_ratio"] is None and "no torch" in result["notes"][0]
    assert 0 < result["metrics"]["fwd_bwd_ms_p50"] < result["metrics"]["batch20_ms_p50"]
    assert result["metrics"]["grad_cosine"] == 0.9 and result["metrics"]["jump_fraction"] == 0.01


def test_the_cosine_is_one_for_the_gradient_itself_and_not_for_another(monkeypatch):
    scene = bench.scene(bench.SCENES["apart"])
    cosine, jumps = bench.gradient_cosine(*scene, every=12)
    assert cosine > 0.98 and jumps < 0.02
    backward = Rasterizer.backward
    monkeypatch.setattr(Rasterizer, "backward", lambda *a, **k: (backward(*a, **k)[0][..., ::-1], None))
    assert bench.gradient_cosine(*scene, every=12)[0] < 0.8
