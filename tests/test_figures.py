"""Figures of perception and fitting in README.md, docs/ and benchmarks/README.md are those of the latest results."""

import numpy as np
import pytest
from tools.results import latest

from stated_figures import require_stated, words

START, BENCH, FIT, SEEN = "README.md", "benchmarks/README.md", "docs/fitting.md", "docs/perception.md"

FEW, TWO = "rows/default (4 clips)/metrics", "rows/default, two views/metrics"
ALL = "mpjpe_mm mpjpe_pa_mm t_err_mm r_err_deg penetration_mm contact_accuracy s_per_frame"
ROW = "{:.1f} | {:.1f} | {:.1f} | {:.0f} | {:.1f} | {:.2f} | {:.1f} |"
SEEN_BY = ("fingertips", "centre", "fingertips_and_centre")
STATED = [  # page; its words with a place for each figure; benchmark; where the figures are in its results
    (START, "within {:.1f} mm, {:.1f} mm and {:.1f} degrees in", "fit", "metrics", "mpjpe_mm t_err_mm r_err_deg"),
    (FIT, "| fit_ms_p50; smooth_ms; fps | {:.1f}; {:.1f}; {:.0f} |", "fit", "metrics", "fit_ms_p50 smooth_ms fps"),
    (BENCH, "{:.1f}; {:.1f}; {:.0f} | < 8; -; 60 |", "fit", "metrics", "fit_ms_p50 smooth_ms fps"),
    (FIT, "apple_pass1 ({:.0f} degrees,", "fit", "by_clip/apple_pass1-20", "r_err_deg"),
    (FIT, "knife_lift ({:.0f}, 21", "fit", "by_clip/knife_lift-7", "r_err_deg"),
    (FIT, "in earlier versions and has {:.1f} now", "fit", "by_clip/mug_lift-24", "r_err_deg"),
    (FIT, "instead of {:.1f}. ## Recipes", "fit", FEW, "fit_ms_p50"),
    (FIT, "a frame takes {:.1f} ms instead of", "fit", TWO, "fit_ms_p50"),
    (FIT, f"| handypriors | 19 x 60 | {ROW}", "fit-papers", "rows/handypriors/metrics", ALL),
    (FIT, f"| tfhot | 4 x 30 | {ROW}", "fit-tfhot", "rows/tfhot (4 clips)/metrics", ALL),
    (FIT, f"| tfhot | 5 x 60 | {ROW}", "fit-tfhot", "rows/tfhot/metrics", ALL),
    (FIT, "| mask | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.2f} |", "fit-robot", "rows/robot_hand without mask/metrics",
     "t_err_mm r_err_deg add_s_mm chamfer_3d_mm chamfer_2d_px"),
    (FIT, f"| homan | 23 x 60 | {ROW}", "fit-papers", "rows/homan/metrics", ALL),
    (FIT, "| all: rendering and physics | {:.1f} | {:.1f} | {:.1f} | {:.1f} ({:.1f}) | {:.1f} |", "fit-handypriors",
     "rows/handypriors (4 clips)/metrics", "chamfer_3d_mm chamfer_2d_px t_err_mm mpjpe_mm mpjpe_pa_mm penetration_mm"),
    (FIT, "(`solver.widest=0.001`) | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} |", "fit-contact",
     "rows/contact, published values alone/metrics",
     "hand_joints_mm hand_vertices_mm object_vertices_mm joints_on_object_mm penetration_mm"),
    (BENCH, "then 15) | {:.2f}; {:.2f}; {:.0f} | -; -; < 10 | | | against the true path of the object; on the arm, "
     "from video; from mocap | {:.2f}; {:.2f}; {:.2f} |", "video", "metrics",
     "video_success_strict mocap_success_strict points_behind_mocap video_success_strict_true_path "
     "video_arm_strict_fraction mocap_arm_strict_fraction"),
    (BENCH, "hand; object error lower | {:.2f}; {:.2f} |", "fit-papers", "metrics",
     "homan_two_hands_paper_masks_hand_lower homan_two_hands_paper_masks_object_lower"),
    (BENCH, "95 GRAB clips, white noise | update_ms_p50, CPU time | {:.2f} | 0.8 | | | error_ratio_best_sensor; "
     "nees_in_band_fraction of hand, object | {:.2f}; {:.2f}, {:.2f} |", "ekf", "metrics",
     "update_ms_p50 error_ratio_best_sensor hand_nees_in_band_fraction object_nees_in_band_fraction"),
    (BENCH, "37.3, 56) | {:.2f}; {:.1f} | 1.5; 15 |", "ekf", "metrics", "hidden_drift_cm hidden_drift_deg"),
    (BENCH, "(HandyPriors 24; 27; 29) | {:.2f}; {:.2f}; {:.2f} |", "ekf", "metrics",
     " ".join(f"table1_{what}_update_ms" for what in SEEN_BY)),
    (SEEN, "| keypoints and pose | {:.2f} | {:.1f} | {:.2f} |", "ekf", "metrics",
     "table1_keypoints_and_pose_3d_cm table1_keypoints_and_pose_2d_px table1_keypoints_and_pose_update_ms"),
    (SEEN, "drifts by {:.1f} cm and {:.0f} deg in a second, with keypoints by {:.1f} cm and {:.0f} deg", "ekf",
     "metrics", "by_vertices_drift_cm by_vertices_drift_deg by_keypoints_drift_cm by_keypoints_drift_deg"),
    (SEEN, "| {:.2f} ({:.2f}), {:.2f} ({:.2f}); {:.2f}, {:.2f} |", "perceive", "metrics",
     "hand_ap hand_ap_tracked object_ap object_ap_tracked hand_mask_iou object_mask_iou"),
    (BENCH, "| {:.2f}, {:.2f}; {:.2f}, {:.2f}; {:.2f}; {:.2f} | - |", "perceive", "metrics",
     "hand_ap hand_ap_tracked object_ap object_ap_tracked hand_mask_iou object_mask_iou"),
    (BENCH, "(one: {:.0f}); mpjpe_e2e_mm | {:.0f}; {:.1f} | 30; 12 |", "perceive", "metrics",
     "e2e_fps_one_core e2e_fps mpjpe_e2e_mm"),
    (BENCH, "{:.3f} ({:.3f}) | 0.95 |", "objectpose", "metrics", "add_01d add_s_005d"),
    (BENCH, "| {:.2f}; {:.1f} / {:.1f}; {:.1f} | 0.3; 3 / -; 3 |", "objectpose", "metrics",
     "register_s_p50 track_ms_p50 track_ms_p99 track_depth_ms_p50"),
    (BENCH, "| {:.2f}; {:.2f} | 1 |", "objectpose", "metrics", "reacquired_s_max reacquired_depth_s_max"),
    (BENCH, "| {:.3f}; {:.3f} | 0.95 |", "objectpose", "metrics", "confidence_auc confidence_auc_in_view"),
    (SEEN, "| {:.2f} s, {:.2f} s | 1 |", "objectpose", "metrics", "reacquired_s_max reacquired_depth_s_max"),
    (SEEN, "| {:.3f}; {:.3f} | 0.95 |", "objectpose", "metrics", "confidence_auc confidence_auc_in_view"),
    (SEEN, "or a click tell | {:.3f} | 0.95 |", "objectpose", "confidence_by_wrong/other object", "auc"),
    (SEEN, "(15 of 120) | {:.3f} | 0.95 |", "objectpose", "confidence_by_wrong/moved, then aligned", "auc"),
    (BENCH, "fwd_bwd_ms_p50 (peer_ms_p50) | {:.2f} ({:.1f}) | 1.2 |", "raster", "metrics",
     "fwd_bwd_ms_p50 peer_ms_p50"),
]  # fmt: skip


@pytest.mark.parametrize("page", [START, BENCH, SEEN])
def test_the_hand_error_over_all_fitted_clips_of_the_video_is_stated(page):
    """Beside that of the eight lifts of `bench perceive`, which is smaller."""
    fitted = [clip for clip in latest("video")["clips"] if "mpjpe_mm" in clip]
    lifts = [clip["mpjpe_mm"] for clip in fitted if clip["clip"].endswith("_lift")]
    others = [clip["mpjpe_mm"] for clip in fitted if not clip["clip"].endswith("_lift")]
    stated = f"{np.mean(lifts + others):.1f} mm on {len(fitted)} clips ({np.mean(lifts):.1f} on {len(lifts)} lifts, "
    assert f"{stated}{np.mean(others):.1f} on {len(others)} passes, uses and inspections)" in words(page)


@pytest.mark.parametrize(("page", "sentence", "benchmark", "place", "names"), STATED)
def test_a_stated_figure_is_the_latest_one_measured(page, sentence, benchmark, place, names):
    require_stated(page, sentence, benchmark, place, names)
