"""Scans as people have them: open where they stood, with specks around, without thickness, in any unit."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from dexhot.cli import main
from dexhot.errors import MeshError
from dexhot.geometry.meshes import solid_properties
from dexhot.geometry.openings import find_openings, turned_outward
from dexhot.geometry.scans import prepare_scan, without_specks
from dexhot.geometry.sdf import ConvexUnion
from dexhot.objects import library as object_library
from dexhot.objects.library import list_objects, load_object
from dexhot.simulation.scans import object_from_file

CREATION = trimesh.creation
PROFILE = np.array(
    [(0, 0), (35, 0), (38, 10), (38, 100), (36, 110), (14, 135), (13, 165), (11, 170), (0, 170)], float
)  # mm: radius and height of a bottle


def bottle() -> trimesh.Trimesh:
    return CREATION.revolve(PROFILE / 1000, sections=48)


def without(mesh: trimesh.Trimesh, lost) -> trimesh.Trimesh:
    """The mesh without the faces that `lost` names."""
    kept = mesh.copy()
    kept.update_faces(~np.asarray(lost))
    return kept


def lowest_faces_lost(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """As after a scan on a table, ragged: the boundary goes up and down between two rings."""
    return without(mesh, mesh.triangles_center[:, 2] < 0.005)


def closed_volume(scan) -> float:
    mesh = trimesh.Trimesh(scan.vertices, scan.faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    return float(mesh.volume)


def speck(at, size=0.003) -> trimesh.Trimesh:
    found = CREATION.icosphere(1, size / 2)
    found.apply_translation(at)
    return found


def test_a_ragged_open_bottom_is_closed_with_a_flat_face():
    scan = prepare_scan(*mesh_of(lowest_faces_lost(bottle())))
    assert closed_volume(scan) == pytest.approx(bottle().volume, rel=0.01)
    assert scan.repairs.capped == pytest.approx([0.076], abs=0.001) and not scan.repairs.openings
    lowest = scan.vertices[scan.vertices[:, 2] < 1e-9]
    assert np.linalg.norm(lowest[:, :2], axis=1).min() > 0.034 and len(lowest) >= 96


def mesh_of(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    return np.array(mesh.vertices), np.array(mesh.faces)


def test_both_ends_of_a_tube_are_capped():
    can = CREATION.cylinder(0.03, 0.1, sections=48)
    scan = prepare_scan(*mesh_of(without(can, np.abs(can.triangles_center[:, 2]) > 0.049)))
    assert closed_volume(scan) == pytest.approx(can.volume)
    assert len(scan.repairs.capped) == 2
    assert "2 openings of 6 cm capped" in scan.repairs.notes()[0]


def test_a_concave_opening_is_capped_inside_its_boundary():
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = 0.03 + 0.012 * np.sin(5 * angle)
    ring = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    i = np.arange(200)
    j = (i + 1) % 200
    vertices = np.vstack([np.column_stack([ring, 0 * angle]), np.column_stack([ring, 0 * angle + 0.05])])
    faces = np.vstack([np.column_stack([i, j, i + 200]), np.column_stack([j, j + 200, i + 200])])
    following = np.roll(ring, -1, axis=0)
    area = 0.5 * (ring[:, 0] * following[:, 1] - ring[:, 1] * following[:, 0]).sum()
    for turned in (faces, faces[:, ::-1]):
        assert closed_volume(prepare_scan(vertices, turned)) == pytest.approx(0.05 * area)


def test_a_hole_in_a_curved_side_is_spanned_and_bulges_no_further():
    ball = CREATION.icosphere(4, 0.05)
    holed = without(ball, np.linalg.norm(ball.triangles_center - [0.05, 0, 0], axis=1) < 0.007)
    scan = prepare_scan(*mesh_of(holed))
    assert 0.99 * ball.volume < closed_volume(scan) < ball.volume
    assert np.linalg.norm(scan.vertices, axis=1).max() < 0.0501


def test_a_boundary_that_is_far_from_flat_is_left_open_and_reported():
    ball = CREATION.icosphere(4, 0.05)
    x, y, z = ball.triangles_center.T
    scan = prepare_scan(*mesh_of(without(ball, z < -0.02 + 25 * x**2 - 25 * y**2)))
    assert not scan.repairs.closed and not scan.repairs.capped
    assert "not closed (1 opening of 11 cm)" in scan.repairs.notes()[0] and "--mass" in scan.repairs.notes()[0]


def test_what_stays_open_has_the_volume_that_it_encloses():
    ball = CREATION.icosphere(4, 0.05)
    x, y, z = ball.triangles_center.T
    holed = mesh_of(without(ball, z < -0.02 + 25 * x**2 - 25 * y**2))
    scan = prepare_scan(*holed)
    assert scan.repairs.filled and trimesh.Trimesh(*scan.solid).is_watertight
    assert 0.5 * ball.volume < abs(trimesh.Trimesh(*scan.solid).volume) < ball.volume  # the hole is a third of it
    assert len(scan.faces) == len(holed[1])  # the visual mesh stays the scan
    assert "mass is that of the enclosed volume" in scan.repairs.notes()[0]
    kept = prepare_scan(*holed, keep_openings=True)
    assert not kept.repairs.filled and kept.solid is None


def test_openings_are_kept_when_asked():
    repairs = prepare_scan(*mesh_of(lowest_faces_lost(bottle())), keep_openings=True).repairs
    assert not repairs.closed and not repairs.capped and len(repairs.openings) == 1


def test_faces_are_turned_outward_whatever_is_open():
    open_box = without(CREATION.box((0.04, 0.06, 0.1)), [True, *[False] * 11])
    vertices, faces = mesh_of(open_box)
    vertices = vertices + [1.0, 2.0, 3.0]  # far from the origin the open surface's own volume says nothing
    np.testing.assert_array_equal(turned_outward(vertices, faces), faces)
    np.testing.assert_array_equal(turned_outward(vertices, faces[:, ::-1]), faces)


def test_two_openings_that_share_a_corner_are_two_loops():
    box = CREATION.box((0.04, 0.06, 0.1)).subdivide()
    corner = 0
    touching = [f for f in range(len(box.faces)) if corner in box.faces[f]]
    lost = np.zeros(len(box.faces), bool)
    lost[[touching[0], touching[len(touching) // 2]]] = True
    loops = find_openings(*mesh_of(without(box, lost)))
    assert sorted(len(o.loop) for o in loops) in ([3, 3], [4])
    assert prepare_scan(*mesh_of(without(box, lost))).repairs.closed


def test_specks_are_dropped_and_named():
    dirty = trimesh.util.concatenate([bottle(), speck((0.12, 0, 0.05)), speck((0, -0.12, 0.01))])
    faces, dropped = without_specks(*mesh_of(dirty))
    assert dropped == pytest.approx([0.003, 0.003], abs=2e-4)
    assert len(faces) == len(bottle().faces)


@pytest.mark.parametrize(
    "part",
    [speck((0.0395, 0, 0.05)), speck((0.12, 0, 0.05), size=0.03), None],
    ids=["a small part that touches", "a large part", "one mesh"],
)
def test_what_is_no_dirt_is_kept(part):
    mesh = bottle() if part is None else trimesh.util.concatenate([bottle(), part])
    faces, dropped = without_specks(*mesh_of(mesh))
    assert not dropped and len(faces) == len(mesh.faces)


def test_a_soup_whose_corners_do_not_meet_is_no_dirt():
    corners = bottle().triangles.reshape(-1, 3)
    vertices = corners + np.random.default_rng(0).normal(0, 1e-5, corners.shape)
    assert not without_specks(vertices, np.arange(len(vertices)).reshape(-1, 3))[1]


def test_a_wall_gives_a_shells_volume_and_keeps_the_cavity(tmp_path):
    tray = CREATION.box((0.08, 0.08, 0.09))
    path = tmp_path / "cup.ply"
    without(tray, tray.triangles_center[:, 2] > 0.0449).export(path)
    steps = []
    made = object_from_file(
        path, "user/cup", wall=0.006, keep_openings=True, density=1000, progress=lambda *told: steps.append(told)
    )
    assert list(dict.fromkeys(step for step, *_ in steps)) == ["repair", "convex pieces", "resting poses"]
    assert steps[-1][1] < steps[-1][2], "poses tried, of all candidates"
    assert made.mass == pytest.approx((0.08**2 * 0.09 - 0.068**2 * 0.084) * 1000, rel=1e-3)
    inside = ConvexUnion(made.pieces).distance(np.array([[0, 0, 0.0], [0, 0, 0.03], [0.025, 0, 0.02]]))[0]
    assert inside.min() > 0.005  # collision keeps the cavity
    assert "1 opening of 11 cm left open" in made.provenance["notes"][1]
    assert made.center_of_mass[2] < -0.003  # toward its bottom


def test_a_wall_moves_flat_sides_by_its_thickness():
    box = CREATION.box((0.04, 0.06, 0.1))
    scan = prepare_scan(*mesh_of(box), wall=0.003)
    volume, _, inertia = solid_properties(*scan.solid)
    assert volume == pytest.approx(box.volume - 0.034 * 0.054 * 0.094)
    assert len(scan.vertices) == 8  # what collides is the outside
    assert np.diag(inertia).min() > np.diag(box.moment_inertia / box.volume).min()


@pytest.mark.parametrize("wall", [0.02, -0.001, float("nan")])
def test_a_wall_that_does_not_fit_is_refused_with_the_limit(wall):
    with pytest.raises(MeshError, match="at most 18"):
        prepare_scan(*mesh_of(CREATION.box((0.04, 0.06, 0.1))), wall=wall)


def test_an_open_bottom_and_specks_change_neither_mass_nor_rest(tmp_path):
    """A scan is as heavy as the closed mesh, has its pieces, and rests as it does."""
    dirty = trimesh.util.concatenate([bottle(), speck((0.12, 0, 0.05)), speck((0, -0.12, 0.01))])
    made = {}
    for name, mesh in {"closed": bottle(), "open": lowest_faces_lost(bottle()), "dirty": dirty}.items():
        mesh.export(tmp_path / f"{name}.ply")
        made[name] = object_from_file(tmp_path / f"{name}.ply", f"user/{name}", density=500)
    for name in ("open", "dirty"):
        assert made[name].mass == pytest.approx(made["closed"].mass, rel=0.05)
        assert len(made[name].pieces) == len(made["closed"].pieces) == 2
        assert len(made[name].resting_poses) == len(made["closed"].resting_poses)
        assert np.ptp(made[name].vertices, axis=0) == pytest.approx(np.ptp(made["closed"].vertices, axis=0), abs=1e-6)


def cases() -> Path:
    return Path(__file__).resolve().parents[3] / "shared" / "cases"


@pytest.mark.parametrize(("name", "dropped", "capped"), [("closed", 0, 0), ("openbottom", 0, 1), ("floaters", 2, 0)])
def test_the_scans_that_were_reported(name, dropped, capped):
    path = cases() / "08-open-scans" / f"{name}.ply"
    if not path.is_file():
        pytest.skip(f"{path} does not exist")
    made = object_from_file(path, f"user/{name}", density=500)
    assert made.mass == pytest.approx(0.288, rel=0.04)
    assert (len(made.pieces), len(made.resting_poses)) == (2, 3)
    repairs = made.provenance["repairs"]
    assert (len(repairs["dropped"]), len(repairs["capped"]), repairs["closed"]) == (dropped, capped, True)


def test_every_unit_that_fits_is_offered_and_mm_first(tmp_path):
    CREATION.box((10, 10, 10)).export(tmp_path / "dice.stl")
    with pytest.raises(MeshError, match=r"--unit mm makes it 1 cm, cm 10 cm, in 25\.4 cm: measure the object"):
        object_from_file(tmp_path / "dice.stl", "user/dice")


def test_no_unit_is_pressed_on_a_format_that_is_in_metres(tmp_path):
    CREATION.icosphere(2, 0.8).export(tmp_path / "ball.glb")
    with pytest.raises(MeshError, match=r"\.glb files are in metres.*--scale, e\.g\. 0\.0625 for one of 10 cm") as e:
        object_from_file(tmp_path / "ball.glb", "user/ball")
    assert "--unit" not in str(e.value)


def test_add_says_what_was_done_and_guessed(cache, tmp_path, capsys):
    lowest_faces_lost(bottle()).export(tmp_path / "bottle.ply")
    assert main(["object", "add", str(tmp_path / "bottle.ply"), "--json"]) == 0
    captured = capsys.readouterr()
    facts = json.loads(captured.out.splitlines()[-1])
    assert facts["repairs"]["capped"] and facts["repairs"]["closed"]
    assert facts["mass_from"].startswith("estimated: ") and "300 kg/m3" in facts["mass_from"]
    assert "1 opening of 7.7 cm capped" in facts["notes"][0] and "capped" in captured.err
    assert load_object("user/bottle").provenance["repairs"] == facts["repairs"]


def test_an_object_that_cannot_be_written_leaves_nothing(cache, lift_object, monkeypatch):
    def full(*arguments, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(object_library.np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        object_library.save_object(lift_object, np.zeros((4, 4, 3), np.uint8))
    assert not cache.exists()


def test_a_failed_replacement_leaves_the_old_object_whole(cache, lift_object, monkeypatch):
    folder = object_library.save_object(lift_object)
    (folder / "notes.txt").write_text("mine")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    lift_object.mass *= 2
    with monkeypatch.context() as patch:
        patch.setattr(object_library.np, "savez_compressed", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            object_library.save_object(lift_object)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert list_objects() == [lift_object.name]
