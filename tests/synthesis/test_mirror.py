"""A clip in a mirror: the other hand holds the same object in the same place."""

import numpy as np
import pytest

from dexhot.datasets.parametric import generate
from dexhot.errors import ClipError
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import quat_rotate
from dexhot.geometry.sdf_volume import sdf_volume
from dexhot.synthesis.mirror import one_side


def test_mirrored_fingers_keep_their_distance_from_the_object():
    clip, asset = generate("lift", "box", 0)
    shift = np.array([0.02, -0.03, 0.04])  # the plane of symmetry need not go through the mesh's origin
    asset.vertices = asset.vertices + shift
    clip.object_pose[:, :3] -= quat_rotate(clip.object_pose[:, 3:], shift)
    left = one_side(clip, asset, "left")
    assert set(left.hands) == {"left"} and left.name == "parametric/lift-box-0-mirrored"
    volume = sdf_volume(asset.vertices, asset.faces)
    for t in (0, 60, len(clip.time) - 1):
        seen = volume.distance(transform(inverse(clip.object_pose[t]), clip.hands["right"].keypoints[t]))[0]
        mirrored = volume.distance(transform(inverse(left.object_pose[t]), left.hands["left"].keypoints[t]))[0]
        assert np.allclose(seen, mirrored, atol=0.002)
    assert one_side(clip, asset, "right").hands["right"] is clip.hands["right"]


def test_an_object_without_a_symmetry_plane_is_refused():
    clip, asset = generate("lift", "box", 0)
    asset.vertices = asset.vertices * (
        1.0 + 8.0 * asset.vertices[:, [1]] + 6.0 * asset.vertices[:, [0]] + 9 * asset.vertices[:, [2]]
    )
    asset.vertices[:, 0] += 12.0 * asset.vertices[:, 1] * asset.vertices[:, 2] + 0.4 * asset.vertices[:, 1]
    asset.vertices[:, 2] += 0.3 * asset.vertices[:, 1] + 0.5 * asset.vertices[:, 0]
    with pytest.raises(ClipError, match="mirror image"):
        one_side(clip, asset, "left")
