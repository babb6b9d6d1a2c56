"""Human keypoints to robot joints: whole clips, single frames, and the arm that carries the hand."""

from dexhot.retargeting.retarget import RetargetOptions, retarget

__all__ = ["RetargetOptions", "retarget"]
