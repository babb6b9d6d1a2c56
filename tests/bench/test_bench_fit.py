"""`dexhot bench fit`: its figures are those of its clips, and the fit reaches what it should."""

from dexhot_bench import fit


def test_its_quick_run_reaches_the_goal(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))
    monkeypatch.setattr(fit, "CLIPS", fit.CLIPS[:2])
    found = fit.run(quick=True)
    metrics = found["metrics"]
    assert metrics["mpjpe_mm"] < 8.0 and metrics["fit_ms_p50"] < 8.0
    assert found["subset"] == ["lift-box-0", "carry-cylinder-1"]
    by_clip = found["mpjpe_mm_by_clip"].values()
    assert min(by_clip) <= metrics["mpjpe_mm"] <= max(by_clip)
    assert (tmp_path / "bench" / "fit.png").is_file()


def test_what_is_seen_is_disturbed_as_it_says():
    import numpy as np

    truth, sightings = fit.seen_clip("lift", "box", 0)
    seen = np.stack([s.confidence for s in sightings]) > 0
    assert 0.15 < 1 - seen.mean() < 0.25
    pixels = truth[..., :2] / truth[..., 2:] * fit.CAMERA[:2] + fit.CAMERA[2:]
    off = np.linalg.norm(np.stack([s.pixels for s in sightings]) - pixels, axis=-1)
    assert 3.0 < np.median(off) < 4.0 and 0.01 < (off > 15).mean() < 0.04
    assert (pixels > 0).all() and (pixels < [640, 480]).all() and 0.3 < truth[..., 2].min() < truth[..., 2].max() < 1.2
