"""A clip at an operator's pace."""

import numpy as np

from dexhot.synthesis.operator import paced


def test_the_motion_is_slower_and_rests_before_and_after(lift):
    clip = lift[0]
    slow = paced(clip, 0.5, 1.0)
    slow.validate()
    whole = clip.time[-1] - clip.time[0]
    assert abs((slow.time[-1] - slow.time[0]) - (2 * whole + 2.0)) < 0.1
    points, own = slow.hands["right"].keypoints, clip.hands["right"].keypoints
    rest = slow.time < 0.99
    np.testing.assert_allclose(points[rest], np.broadcast_to(own[0], points[rest].shape), atol=1e-9)
    np.testing.assert_allclose(points[-1], own[-1], atol=1e-9)
    middle = int(np.argmin(np.abs(slow.time - (1.0 + whole))))  # half of the motion, at half its speed
    np.testing.assert_allclose(slow.object_pose[middle, :3], clip.object_pose[len(clip.time) // 2, :3], atol=0.01)
