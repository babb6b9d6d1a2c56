"""What an estimator must offer. Images are (H, W, 3) uint8 RGB, depth is (H, W) m, masks are (H, W) bool."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from dexhot.geometry.cameras import Intrinsics


@dataclass(frozen=True)
class HandSighting:
    """One hand in one image."""

    side: str  # "right" or "left"
    pixels: np.ndarray  # (21, 2) u v, MediaPipe order
    confidence: float  # that this is a hand, in [0, 1]
    right_score: float  # that it is a right hand, in [0, 1]
    relative_depth: np.ndarray | None = None  # (21,) px along the optical axis from the wrist; None: not estimated

    def __post_init__(self) -> None:
        if self.relative_depth is not None and not np.any(self.relative_depth):
            object.__setattr__(self, "relative_depth", None)  # adapters of 0.1.0 give zeros

    @property
    def along(self) -> np.ndarray:
        """(21,) relative depth; without an estimate 0, as of a hand parallel to the image."""
        return np.zeros(len(self.pixels)) if self.relative_depth is None else self.relative_depth


@dataclass(frozen=True)
class ObjectSighting:
    """An object's pose in one image."""

    pose: np.ndarray  # (4, 4) camera_T_mesh
    confidence: float  # in [0, 1]; below object_pose.LOST it is not where it is said to be
    visible: float  # fraction of its camera-facing surface that nothing hides


class HandKeypoints(Protocol):
    """Finds and follows hands; called with the images of one camera in order."""

    def __call__(self, color: np.ndarray) -> list[HandSighting]:
        """The hands in the image."""


@runtime_checkable
class BoxedHandKeypoints(Protocol):
    """A HandKeypoints that uses boxes where they are known, as TF-HOT does those of the hands' masks."""

    boxes: dict[str, np.ndarray]  # side -> (4,) x0 y0 x1 y1 px in the image to come alone; NaN: not in it

    def __call__(self, color: np.ndarray) -> list[HandSighting]:
        """The hands in the image."""


class HandInBox(Protocol):
    """Finds the keypoints of the hand in a box."""

    def __call__(self, color: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Image and box (4,) x0 y0 x1 y1 px -> keypoints (21, 2) px and their confidences (21,)."""


class BoxDetector(Protocol):
    """Finds hands and the object; called with the images of one camera in order."""

    def __call__(self, color: np.ndarray) -> dict[str, np.ndarray]:
        """ "right", "left", "object" -> (K, 5) boxes x0 y0 x1 y1 px and their scores; a name may be missing."""


class Segmenter(Protocol):
    """Follows prompted masks; called with the images of one camera in order."""

    def start(self, color: np.ndarray, prompts: dict[int, np.ndarray]) -> np.ndarray:
        """First image with clicks (N, 2) or a box (4,) px for each label -> (H, W) uint8 labels."""

    def follow(self, color: np.ndarray) -> np.ndarray:
        """The next image -> (H, W) uint8 labels."""


class ObjectPose(Protocol):
    """Registers a known object, then follows it."""

    def register(
        self, camera: Intrinsics, color: np.ndarray, depth: np.ndarray, mask: np.ndarray
    ) -> ObjectSighting | None:
        """Its pose from a mask, without a prior; None where the mask has too little depth."""

    def follow(
        self, camera: Intrinsics, color: np.ndarray, depth: np.ndarray, time: float, hidden: np.ndarray
    ) -> ObjectSighting:
        """Its pose at `time` (s), `hidden` by hands."""


class ObjectRegressor(Protocol):
    """Regresses the pose of a known object from single colour images, without depth: `dexhot fit --regressor
    MODULE:FUNCTION`, for the start of the recipes that never read depth."""

    def __call__(self, camera: Intrinsics, color: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float] | None:
        """Image and mask of what shows of the object -> camera_T_mesh (4, 4), m, and its score in [0, 1], below
        object_pose.LOST no pose; None where it gives none. Its box is that of the mask."""


@dataclass(frozen=True)
class MeshSighting:
    """The surface of a hand in one image, in the camera's frame, m: of a regressor, as vertices or as parameters."""

    topology: str  # "mano" or "open": numbering of the vertices; another one, such as "soma", needs the keypoints
    vertices: np.ndarray | None = None  # (V, 3)
    parameters: np.ndarray | None = None  # of "mano" or "open" in place of vertices: (51 + S,) HandPose.vector(), shape
    keypoints: np.ndarray | None = None  # (21, 3) MediaPipe order, MANO's convention, of another topology


class HandMesh(Protocol):
    """A regressor of hand meshes, such as WiLoR, HaMeR or EgoHand; by default hands are fitted to their keypoints."""

    def __call__(
        self, camera: Intrinsics, color: np.ndarray, hands: Sequence[HandSighting]
    ) -> Sequence[MeshSighting | None]:
        """The mesh of each of the hands seen in the image; None where it gives none."""


class ImageToMesh(Protocol):
    """A model that makes a mesh of an object from one image; its scale is unknown, and taken from the depth: `dexhot
    object add --from RECORDING --mesher MODULE:FUNCTION`."""

    def __call__(self, color: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (V, 3) in any unit and faces (F, 3), closed."""
