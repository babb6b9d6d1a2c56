"""`dexhot bench fit`: its metrics are those of its clips, a stopped run goes on, an ablation removes what it names."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.tiny_clip import ASSET, HAND, SHAPE, tiny_clip

from dexhot.data.keypoints import wrist_pose
from dexhot.data.labels import LABELS
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.errors import ClipError, DexhotError, NotFoundError
from dexhot.fitting.homan import INDEPENDENT
from dexhot.fitting.recipe import load_recipe
from dexhot.geometry.cameras import pinhole
from dexhot.geometry.poses import IDENTITY, make_pose
from dexhot.geometry.rotations import quat_angle, rotvec_to_quat
from dexhot.humans.skin import HandPose
from dexhot.synthesis.clip import Truth
from dexhot_bench import fit, fit_clips, fit_rows

DEFAULT = fit_rows.TableRow("default", load_recipe("default"), 1, 8)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """A tiny clip in place of the rendered ones."""
    recording, evidence, points = tiny_clip(8)
    recording.world_T_camera = IDENTITY
    track = HandTrack(points, wrist_pose(points, "right"), np.ones((8, 21)))
    clip = HandObjectTrajectory("tiny", recording.time, {"right": track}, ASSET.name, evidence.object_pose)
    evidence.hand_meshes = {"right": np.tile(HAND.shaped(SHAPE).posed(HandPose()).vertices, (8, 1, 1))}
    made = fit_clips.Clip("tiny", recording, evidence, Truth(clip, evidence))
    monkeypatch.setattr(fit, "rendered", lambda k, frames, hands, turn=0.0: made)
    monkeypatch.setattr(fit_rows, "clip_names", lambda hands: ["tiny"])
    monkeypatch.setattr(fit, "load_object", lambda name: ASSET)
    monkeypatch.setattr(fit, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(fit, "code_key", lambda *a, **k: "code")
    return made


def test_the_metrics_are_those_of_the_clips(drawn, monkeypatch):
    monkeypatch.setattr(fit, "quick_rows", lambda: [DEFAULT])
    found = fit.run(quick=True)
    metrics = found["metrics"]
    assert found["subset"] == ["tiny"] and metrics["mpjpe_mm"] == found["by_clip"]["tiny"]["mpjpe_mm"] < 10.0
    assert metrics["t_err_mm"] < 3.0 and metrics["r_err_deg"] < 4.0 and metrics["r_err_deg"] <= metrics["r_err_raw_deg"]
    assert metrics["mask_iou"] > 0.9 and metrics["lost_fraction"] == 0.0 and metrics["init_success"] == 1.0
    assert metrics["smooth_ms"] > 0 and metrics["fps"] == pytest.approx(
        1e3 / (metrics["fit_ms_p50"] + metrics["smooth_ms"])
    )
    assert metrics["mpjpe_pa_mm"] < metrics["mpjpe_mm"] and 0.8 < metrics["joint_auc"] < 1.0
    assert metrics["chamfer_3d_mm"] < 5.0 and metrics["sd_obj_mm"] < 2.0 and metrics["object_vertex_mm"] < 3.0
    assert metrics["mesh_mm"] > 100.0 > 50.0 > metrics["mesh_pa_mm"]  # the flat hand of the fixture is far away
    assert 0.0 <= metrics["penetration_cm3"] < 1.0


def test_a_stopped_run_goes_on_and_says_what_is_missing(drawn, monkeypatch):
    """Cells are kept by the recipe's settings; what was not reached is "not run"."""
    rows = [
        replace(DEFAULT, frames=4),
        fit_rows.TableRow("other", load_recipe("default").changed(["solver.iterations=4"]), 1, 3),
    ]
    monkeypatch.setattr(fit, "rows_of", lambda ablate, frames: rows)
    nothing = fit.run(minutes=1e-9)
    assert nothing["rows"]["default"]["metrics"] == fit.NOT_RUN and nothing["by_clip"] == {"tiny": fit.NOT_RUN}
    assert nothing["metrics"] == {}
    calls, real = [], fit.fitted
    monkeypatch.setattr(fit, "fitted", lambda *asked: calls.append(asked) or real(*asked))
    first = fit.run()
    measured = len(calls)
    again = fit.run()
    assert len(calls) == measured and again["rows"] == first["rows"]
    assert first["rows"]["other"]["frames"] == 3 and first["rows"]["other"][fit.NOT_RUN] == 0


def test_a_row_of_two_views_sees_the_same_moments_from_the_side(drawn, monkeypatch):
    """The second camera's clip is rendered round the motion; truth and frame are the first one's."""
    turns, beside = [], make_pose([0.6, 0.0, 0.6], rotvec_to_quat(np.array([0.0, -np.pi / 2, 0.0])))

    def by_camera(k, frames, hands, turn=0.0):
        turns.append(turn)
        recording, evidence, _ = tiny_clip(8, seed=1, at=beside)
        return replace(drawn, recording=recording, evidence=evidence) if turn else drawn

    monkeypatch.setattr(fit, "rendered", by_camera)
    single = replace(DEFAULT, frames=4)
    row, clips = replace(single, name="default, two views", sight=fit_clips.Sight(views=2)), fit.Clips(8)
    one, two = (fit.fit_one(clips, each, 0) for each in (single, row))
    assert turns == [0.0, fit_clips.TURN] and two["hand_depth_mm"] < 0.8 * one["hand_depth_mm"]
    assert "default, two views" in {each.name for each in fit_rows.rows_of(False)}


def test_a_clip_that_cannot_be_rendered_is_named(drawn, monkeypatch):
    def cannot(k, frames, hands, turn=0.0):
        raise ClipError("too far away\nand more")

    monkeypatch.setattr(fit, "rendered", cannot)
    monkeypatch.setattr(fit, "quick_rows", lambda: [DEFAULT])
    assert fit.run(quick=True)["left_out"] == ["tiny: too far away"]


def test_rough_masks_overlap_as_asked_and_err_anew_in_each_frame():
    """The same true mask four times, of a box of 80 px: HOMan's table A.2 has 0.66."""
    true = np.zeros((4, 240, 320), np.uint8)
    true[:, 80:160, 120:200] = LABELS["object"]
    found = fit_clips.masks_at(fit_clips.PAPER_IOU, true, pinhole(320, 240, 42.6), 0)
    assert fit_clips.mean_iou(found, true, LABELS["object"]) == pytest.approx(fit_clips.PAPER_IOU, abs=0.04)
    assert fit_clips.mean_iou(found[:-1], found[1:], LABELS["object"]) < 0.75
    assert np.array_equal(found, fit_clips.masks_at(fit_clips.PAPER_IOU, true, pinhole(320, 240, 42.6), 0))


def test_a_clip_that_a_recipe_cannot_fit_is_named(drawn, monkeypatch):
    """Such as one in which the detector never sees the hand."""
    drawn.evidence.keypoints["right"][..., 5] = 0.0
    monkeypatch.setattr(fit, "quick_rows", lambda: [DEFAULT])
    found = fit.run(quick=True)
    assert found["rows"]["default"]["metrics"] == fit.NOT_RUN
    assert found["left_out"][0].startswith("tiny, default: no frame of tiny shows 6 keypoints")


def test_rows_are_the_recipes_and_what_they_lack():
    """All recipes on all clips, Adam's parity and HOMan's independent composition on fewer; ablations by term."""
    rows = {row.name: row for row in fit.rows_of(True)}
    assert len(rows) == len(fit.rows_of(True))
    for name in fit_rows.RECIPES:
        assert rows[name].clips == 24 and rows[name].frames == 60 and rows[f"{name} (4 clips)"].frames == 30
    homan = load_recipe("homan")
    assert set(homan.terms) - set(rows["homan, independent"].recipe.terms) == set(INDEPENDENT)
    for term in homan.terms:
        assert set(homan.terms) - set(rows[f"homan without {term}"].recipe.terms) == {term}
    assert not rows["tfhot_dexycb, vanilla surface"].recipe.terms["surface"]["visible_only"]
    assert not rows["handypriors, initialisation"].recipe.terms
    assert set(rows["handypriors, + rendering"].recipe.terms) == {"image", "mask"}
    assert {row.name for row in fit.quick_rows()} == {
        "default",
        "tfhot",
        "homan",
        "handypriors",
        "contact",
    }
    assert not rows["contact, start"].recipe.terms and rows["contact"].clips == 4
    assert rows["contact, published values alone"].recipe.solver["widest"] == 0.001
    assert "contact without penetration" in rows and "robot_hand without sliding" in rows
    assert not rows["robot_hand, start"].recipe.terms


def test_recipes_are_chosen_by_name(drawn, monkeypatch):
    """Contact refinement needs no rendered clip; its errors stand beside the published ones."""
    names = {row.name for row in fit.chosen(fit.rows_of(False), ["contact"])}
    assert names == {"contact", "contact, start", "contact, true pose"}
    with pytest.raises(NotFoundError, match="handypriors"):
        fit.chosen(fit.rows_of(False), ["handy"])
    asked = []
    monkeypatch.setattr(fit, "measured", lambda row, k: asked.append((row.name, k)) or {"hand_joints_mm": 12.0})
    monkeypatch.setattr(fit, "rendered", lambda k, frames, hands, turn=0.0: pytest.fail("rendered a clip"))
    found = fit.run(recipes=["contact"])
    assert asked[0] == ("contact", 0) and found["metrics"] == {"hand_joints_mm": 12.0}
    assert found["published"]["contact (table IV, ContactPose)"]["HandyPriors"]["object_vertices_mm"] == 36.4
    assert "fps" not in found["metrics"]
    with pytest.raises(DexhotError, match="leaves out"):
        fit.run(quick=True, recipes=["tfhot"], contactpose=Path("nowhere"))
    asked.clear()
    with pytest.raises(DexhotError, match="nowhere is not ContactPose"):
        fit.run(recipes=["contact"], contactpose=Path("nowhere"))
    assert not asked  # before the work


def test_other_rows_have_the_clips_of_the_cache_or_parametric_ones(monkeypatch):
    """By the same names as the rendered clips."""
    rows = {row.name: row for row in fit_rows.other_rows(False)}
    for module, prefix in ((fit.fit_contact, "grasps"), (fit.fit_robot, "clip")):
        monkeypatch.setattr(module, "measure", lambda source, recipe: source)
        for kind in (f"parametric_{prefix}", {"grasps": "clip_grasps", "clip": "grab_clip"}[prefix]):
            monkeypatch.setattr(module, kind, lambda *source: source)
    monkeypatch.setattr(fit, "has_grab", lambda: True)
    assert fit.measured(rows["contact"], 3) == ("grab/cylindermedium_lift", 8, fit.fit_contact.MOMENTS)
    assert fit.measured(rows["robot_hand"], 3) == ("grab/cylindermedium_lift", 8, fit.fit_robot.FRAMES, "leap_right")
    allegro = fit.measured(rows["robot_hand, Allegro"], 3)
    assert allegro == ("grab/cylindermedium_lift", 8, fit.fit_robot.FRAMES, "allegro_right")
    assert len({fit.cell(rows[f"robot_hand{hand}"], "clip") for hand in fit.fit_robot.HANDS}) == 2
    monkeypatch.setattr(fit, "has_grab", lambda: False)
    assert fit.measured(rows["robot_hand"], 1) == ("carry", "cylinder", 1, fit.fit_robot.FRAMES, "leap_right")


def test_contact_is_measured_on_a_parametric_grasp(monkeypatch):
    """The true pose of the refined model is as near as its other hand allows, a start is farther."""
    from dexhot_bench import fit_contact

    recipe = load_recipe("contact")
    monkeypatch.setattr(fit_contact, "SPAN", 0.4)
    grasps = fit_contact.parametric_grasps.__wrapped__("lift", "box", 0, 1)
    truth = fit_contact.measure(grasps, fit_contact.truth_of(recipe), 1)
    start = fit_contact.measure(grasps, fit_contact.start_of(recipe), 2)
    assert truth["object_vertices_mm"] < 1e-6 and truth["hand_joints_mm"] < 12.0 < start["hand_joints_mm"]
    assert start["object_vertices_mm"] > 5.0 and start["joints_on_object_mm"] > truth["joints_on_object_mm"]


@pytest.mark.parametrize("name", ["leap_right", "allegro_right"])
def test_a_robot_s_clip_is_drawn_and_measured(name):
    """The drawn masks are where hand and object truly are, and the object is found from them."""
    from dexhot.fitting.robot_hand import RobotSkin, seen_points
    from dexhot.geometry.poses import compose, inverse
    from dexhot.robots.robot_hand import load_hand
    from dexhot.simulation.physics import load_physics
    from dexhot.simulation.scene import floating_scene
    from dexhot_bench import fit_robot

    hand = load_hand(name)
    base = np.array([0.0, 0.0, 1.0, 0.0])  # the palm down
    scene = floating_scene(hand, ASSET, base, load_physics())
    q = np.tile(np.r_[0.0, 0.0, 0.25, 0.0, 0.0, 0.0, hand.nominal], (3, 1))
    poses = np.tile([0.0, -0.02, 0.05, 1.0, 0.0, 0.0, 0.0], (3, 1))
    q[:, 0] += [0.0, 0.01, 0.02]
    poses[:, 0] += [0.0, 0.01, 0.02]
    clip = fit_robot.draw("tiny", scene, hand, base, q, poses, 0)
    camera_T_world = inverse(clip.recording.world_T_camera)
    points = seen_points(RobotSkin(hand), clip.motion, clip.recording.world_T_camera)[0]
    inside = lambda x, label: np.mean([clip.evidence.labels[0][v, u] == label for u, v in pixels(clip, x)])  # noqa: E731
    assert inside(points, 1) > 0.6 and inside(compose(camera_T_world, poses)[:1, :3], 2) == 1.0
    recipe = load_recipe("robot_hand").changed(
        ["solver.rotations=6", "solver.search_steps=10", "solver.follow_steps=3", "solver.steps=10", "solver.pixels=64"]
    )
    found = fit_robot.measure(clip, recipe)
    assert found["t_err_mm"] < 40.0 and found["chamfer_2d_px"] < 6.0 and found["r_err_deg"] <= found["r_err_raw_deg"]


def pixels(clip, points: np.ndarray) -> np.ndarray:
    """(N, 2) of points that are in the picture."""
    camera = clip.recording.intrinsics
    found = np.round(camera.project(points)).astype(int)
    return found[((found >= 0) & (found < [camera.width, camera.height])).all(axis=1)]


def test_homans_margins_are_those_of_the_papers_table(tmp_path, monkeypatch):
    """Errors of joint fitting relative to independent composition (its table 1), on the clips that have both."""
    monkeypatch.setattr(fit_rows, "clip_names", lambda hands: ["a", "b"])
    rows = {row.name: row for row in fit.rows_of(False)}
    cells = fit.Kept(tmp_path / "cells.json")
    assert fit.comparison(cells, list(rows.values())) == {}
    rough = ", masks of IoU 0.66"
    for suffix, what in (
        ("", "homan"),
        (", two hands", "homan_two_hands"),
        (rough, "homan_paper_masks"),
        (f", two hands{rough}", "homan_two_hands_paper_masks"),
    ):
        joint, apart = rows[f"homan{suffix or ' (4 clips)'}"], rows[f"homan, independent{suffix}"]
        cells.put(fit.cell(joint, "a"), {"mpjpe_mm": 86.0, "object_vertex_reduced_mm": 80.0, "add_s_mm": 38.0})
        cells.put(fit.cell(apart, "a"), {"mpjpe_mm": 262.0, "object_vertex_reduced_mm": 121.0, "add_s_mm": 77.0})
        cells.put(
            fit.cell(joint, "b"), {"mpjpe_mm": 1e6, "object_vertex_reduced_mm": 1e6, "add_s_mm": 1e6}
        )  # without its pair
        found = fit.comparison(cells, list(rows.values()))
        for part, (_, published) in fit.MARGINS.items():
            assert found[f"{what}_{part}_lower"] == pytest.approx(published, abs=0.01)


def test_a_row_sees_of_a_clip_what_it_names(drawn):
    """Exact masks and keypoints, and the object's first pose as far off as asked; nothing else of the truth."""
    true, seen = drawn.truth.evidence, drawn.evidence
    drawn.truth = Truth(drawn.truth.trajectory, replace(true, labels=true.labels + 1, keypoints={"right": np.ones(3)}))
    true = drawn.truth.evidence
    plain = fit_clips.Sight().evidence(drawn)
    assert plain.labels is seen.labels and plain.keypoints is seen.keypoints and np.isnan(plain.object_pose).all()
    assert fit_clips.Sight(exact=("masks",)).evidence(drawn).labels is true.labels
    known = fit_clips.Sight(exact=("keypoints",)).evidence(drawn)
    assert known.keypoints is true.keypoints and known.labels is seen.labels
    off = fit_clips.Sight(start=(20.0, 10.0)).evidence(drawn).object_pose
    assert np.linalg.norm(off[0, :3] - true.object_pose[0, :3]) == pytest.approx(0.010)
    assert np.degrees(quat_angle(off[0, 3:], true.object_pose[0, 3:])) == pytest.approx(20.0)
    assert np.isnan(off[1:]).all()


def test_rows_that_see_differently_are_kept_apart(tmp_path):
    cells = fit.Kept(tmp_path / "cells.json")
    exact = replace(DEFAULT, sight=fit_clips.Sight(exact=("masks",)))
    cells.put(fit.cell(DEFAULT, "tiny"), {"mpjpe_mm": 1.0})
    assert cells.get(fit.cell(exact, "tiny")) is None


def test_a_stand_in_is_fitted_and_has_no_errors_of_vertices(drawn):
    """Another shape (test_stand_in.py) in the place of the object's mesh, from the images to the metrics."""
    short = [
        f"solver.{s}" for s in ("coarse_steps=2", "fine_steps=2", "rotations=2", "search_steps=2", "stand_in=true")
    ]
    row = replace(DEFAULT, recipe=load_recipe("homan").changed(short), frames=2)
    clips = fit.Clips(8)
    own, other = (fit.fit_one(clips, replace(row, sight=fit_clips.Sight(stand_in=s)), 0) for s in (False, True))
    assert "object_vertex_mm" in own and "object_vertex_mm" not in other
    assert other["chamfer_3d_mm"] > 0 and other["t_err_mm"] > 0 and other["mask_iou"] > 0


def test_a_second_hand_is_a_mirror_image_beyond_the_object():
    """A left hand as far from the object's middle as the right one; refused where the two would meet."""
    points = np.tile(HAND.shaped(SHAPE).posed(HandPose()).keypoints(HAND.table("mediapipe")), (6, 1, 1))
    points += [0.05, 0.0, 0.0] - points[..., :1].min() * np.array([1.0, 0.0, 0.0])
    track = HandTrack(points, wrist_pose(points, "right"), np.ones((6, 21)))
    time = np.arange(6) / 30.0
    clip = HandObjectTrajectory("tiny", time, {"right": track}, ASSET.name, np.tile(IDENTITY, (6, 1)))
    both = fit_clips.with_other_hand(clip, ASSET)
    middle = 0.5 * (ASSET.vertices.min(axis=0) + ASSET.vertices.max(axis=0))
    mirrored = both.hands["left"].keypoints - middle
    assert np.allclose(mirrored * [-1, 1, 1], points - middle) and set(both.hands) == {"right", "left"}
    track.keypoints -= track.keypoints.mean(axis=(0, 1))  # around the object's middle
    with pytest.raises(ClipError, match="no room"):
        fit_clips.with_other_hand(clip, ASSET)


def test_the_table_has_the_published_rows_beside_and_says_what_was_not_run(drawn, monkeypatch):
    monkeypatch.setattr(fit, "rows_of", lambda ablate, frames: [replace(DEFAULT, name="homan, independent")])
    (table,) = fit.run(minutes=1e-9)["printed"].values()
    ours, theirs = table["rows"]
    assert ours[:2] == ["homan, independent", "not run"] and "262.0" in theirs and len(ours) == len(table["columns"])


def test_tf_hot_s_time_stands_beside_its_rows(drawn, monkeypatch):
    """0.44 s per frame at most, beside all clips and the few; its errors on the same videos are not published."""
    rows = [replace(DEFAULT, name=name) for name in ("tfhot", "tfhot (4 clips)", "default")]
    monkeypatch.setattr(fit, "rows_of", lambda ablate, frames: rows)
    found = fit.run(minutes=1e-9)
    assert [row["tfhot"] for row in found["published"].values()] == [{"s_per_frame": 0.44}]
    (table,) = found["printed"].values()
    assert [row[0] for row in table["rows"]] == ["tfhot", "  published", "tfhot (4 clips)", "  published", "default"]
    assert table["rows"][1][-1] == "0.440"


def test_cells_are_kept_in_a_file_of_ours(tmp_path):
    path = tmp_path / "bench" / "fit.json"
    fit.Kept(path).put(fit.cell(DEFAULT, "tiny"), {"mpjpe_mm": 1.0})
    assert fit.Kept(path).get(fit.cell(DEFAULT, "tiny")) == {"mpjpe_mm": 1.0}
    changed = fit_rows.TableRow("default", DEFAULT.recipe.changed(["sdf.sigma=0.1"]), 1, 8)
    assert fit.Kept(path).get(fit.cell(changed, "tiny")) is None and json.loads(path.read_text())
