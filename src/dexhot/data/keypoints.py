"""The 21 hand keypoints in MediaPipe order, and the wrist frame that they define."""

from typing import TYPE_CHECKING

import numpy as np

from dexhot.errors import ClipError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

NAMES = ("wrist",) + tuple(
    f"{finger}_{joint}"
    for finger, joints in (
        ("thumb", ("cmc", "mcp", "ip", "tip")),
        ("index", ("mcp", "pip", "dip", "tip")),
        ("middle", ("mcp", "pip", "dip", "tip")),
        ("ring", ("mcp", "pip", "dip", "tip")),
        ("little", ("mcp", "pip", "dip", "tip")),
    )
    for joint in joints
)
TIPS = (4, 8, 12, 16, 20)  # thumb, index, middle, ring, little
BONES = [(start, end) for tip in TIPS for start, end in zip((0, tip - 3, tip - 2, tip - 1), range(tip - 3, tip + 1))]
ACROSS = [(5, 9), (9, 13), (13, 17)]  # lines over the palm, from knuckle to knuckle
WRIST, INDEX_MCP, MIDDLE_MCP, LITTLE_MCP = 0, 5, 9, 17
OTHER_SIDE = {"right": "left", "left": "right"}
PALM_LENGTH = (0.04, 0.15)  # m, wrist to middle MCP: from a child's to a very large hand
UNITS = {1e-3: "millimetres", 1e-2: "centimetres", 0.0254: "inches"}  # factor to m


def estimated(relative_depth: np.ndarray) -> np.ndarray | None:
    """The relative depth (21,) of a hand, None where it is all NaN: arrays and messages write "not estimated" so."""
    return relative_depth if np.isfinite(relative_depth).any() else None


def check_size(keypoints: np.ndarray, what: str) -> None:
    """Raises ClipError, naming the likely unit, for keypoints (T, 21, 3) that are not those of a hand in metres."""
    palm = float(np.median(np.linalg.norm(keypoints[:, MIDDLE_MCP] - keypoints[:, WRIST], axis=1)))
    least, most = PALM_LENGTH
    if least <= palm <= most:
        return
    unit = next((name for factor, name in UNITS.items() if least <= factor * palm <= most), None)
    why = f"that is in {unit}: convert it to metres" if unit else "check its unit and the order of its keypoints"
    raise ClipError(f"{what}: wrist to middle MCP is {palm:.3g} m, a hand's is {least:g} to {most:g}; {why}.")


def wrist_pose(keypoints: "ArrayLike", side: str) -> np.ndarray:
    """Keypoints (..., 21, 3) of a "right" or "left" hand -> wrist poses (..., 7).

    Axes: x from the wrist to the middle finger's knuckle, z dorsal, y = z cross x (toward the thumb on a right hand).
    """
    from dexhot.geometry.poses import make_pose  # with SciPy, which the constants do without
    from dexhot.geometry.rotations import matrix_to_quat

    k = np.asarray(keypoints, float)
    return make_pose(k[..., WRIST, :], matrix_to_quat(wrist_axes(k, side)))


def wrist_axes(k: np.ndarray, side: str) -> np.ndarray:
    """Rotations (..., 3, 3) of the wrist poses, of keypoints (..., 21, 3)."""
    x = _unit(k[..., MIDDLE_MCP, :] - k[..., WRIST, :])
    across = k[..., INDEX_MCP, :] - k[..., LITTLE_MCP, :]
    y = across if side == "right" else -across
    y = _unit(y - x * (x * y).sum(-1, keepdims=True))
    return np.stack([x, y, np.cross(x, y)], -1)


def _unit(v: np.ndarray) -> np.ndarray:
    unit: np.ndarray = v / np.linalg.norm(v, axis=-1, keepdims=True)
    return unit
