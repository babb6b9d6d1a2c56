"""The retargeting benchmark: its figures, and what it reports where the peer is not installed."""

import numpy as np
import pytest

from dexhot.retargeting.resampling import resample
from dexhot.retargeting.streaming import StreamingRetargeter
from dexhot.robots.robot_hand import load_hand
from dexhot_bench import retarget as bench_retarget
from dexhot_bench.retarget import Ours, Stream


@pytest.fixture
def bench(lift, monkeypatch):
    """The benchmark on 40 frames of the parametric lift, streaming only: a function of what stands for the peer."""
    keypoints, palm, _ = resample(lift[0], "right")
    wrist = np.concatenate([keypoints[:, 0], palm], axis=1)
    stream = Stream("lift", keypoints[100:140], wrist[100:140], 60.0)
    monkeypatch.setattr(bench_retarget, "_streams", lambda quick: ([stream], []))
    monkeypatch.setattr(bench_retarget, "_whole", lambda quick: [stream])
    monkeypatch.setattr(bench_retarget, "_contact_aware", lambda clips, picture: {})

    def run(peer):
        monkeypatch.setattr(bench_retarget, "Peer", peer)
        return bench_retarget.run(quick=True)

    return run


def test_beside_itself_the_solver_is_no_better(bench):
    metrics = bench(lambda links, converged: Ours())["metrics"]
    for kind in ("", "_converged"):
        assert metrics[f"tip_error_ratio{kind}"] == metrics[f"links_tip_error_ratio{kind}"] == 1.0
    assert metrics["speed_ratio"] > 0 and metrics["clip_speed_ratio"] > 0
    assert metrics["clip_tip_error_ratio_converged"] != 1.0  # the clip solver beside the streaming one
    assert 0.1 < metrics["tip_error_mm"] == metrics["peer_converged_tip_error_mm"] < 20
    assert 0 < metrics["ms_p50"] <= metrics["ms_p99"]


def test_the_converged_ratio_is_to_the_converged_peer(bench):
    class Worse(Ours):
        def track(self, stream):
            found = super().track(stream)
            found.tip_error *= 2.0
            return found

    metrics = bench(lambda links, converged: Ours() if converged else Worse())["metrics"]
    assert metrics["tip_error_ratio"] == pytest.approx(0.5)
    assert metrics["tip_error_ratio_converged"] == 1.0


def test_step_as_shipped_is_what_is_timed(bench, monkeypatch):
    calls = []
    shipped = StreamingRetargeter.step

    def step(self, *args):
        calls.append((self.palm, self._weight[-1]))
        return shipped(self, *args)

    monkeypatch.setattr(StreamingRetargeter, "step", step)
    stream = bench_retarget._streams(True)[0][0]
    Ours().track(stream)
    default = StreamingRetargeter(load_hand("leap_right"))
    assert calls == [(default.palm, default._weight[-1])] * len(stream.keypoints)


def test_without_the_peer_there_is_no_ratio_and_a_note_says_why(bench):
    def absent(links, converged):
        raise ImportError("no dex_retargeting")

    result = bench(absent)
    for name in ("speed_ratio", "tip_error_ratio", "tip_error_ratio_converged", "clip_speed_ratio"):
        assert result["metrics"][name] is None
    assert "no dex_retargeting" in result["notes"][0]


def test_figures_measure_saturation_and_jerk_of_the_fingers():
    hand = load_hand("leap_right")
    fingers = np.tile(hand.nominal, (8, 1))
    fingers[:, 0] = hand.upper[0]
    fingers[:, 1] += np.arange(8) ** 3 / 6 / 60**3  # a jerk of 1 rad/s^3
    track = bench_retarget.Track(np.full(8, 2e-3), np.full((8, 4), 5e-3), fingers, 60.0)
    figures = bench_retarget._figures([track], hand)
    assert figures["saturation"] == pytest.approx(1 / 16)
    assert figures["jerk_rad_s3"] == pytest.approx(np.sqrt(1 / 16), rel=1e-3)
    assert figures["ms_p50"] == pytest.approx(2.0) and figures["tip_error_mm"] == pytest.approx(5.0)
