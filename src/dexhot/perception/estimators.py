"""The estimators of `dexhot perceive` and of the live graphs by name: embedded ones, adapters, and a lab's own code.

A lab's own is MODULE:FUNCTION, importable (PYTHONPATH), and gives what protocols.py describes; the live graphs take the
first three, as keypoints:=, masks:= and poses:=, and use them from a thread that is not the one that makes them:

    --hands lab.hands:make      make(side) -> HandKeypoints
    --masks lab.masks:make      make() -> Segmenter
    --poses lab.poses:make      make(asset, camera) -> ObjectPose, of an ObjectAsset before an Intrinsics
    --meshes lab.meshes:make    make() -> HandMesh
    --boxes lab.boxes:make      make() -> BoxDetector

of `dexhot fit`:

    --regressor lab.poses:make  make(asset, camera) -> ObjectRegressor

and of `dexhot object add`:

    --mesher lab.objects:make   make() -> ImageToMesh
"""

import importlib
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dexhot.errors import DexhotError, NotFoundError
from dexhot.perception.weights import given_file, missing_hand_landmarks

if TYPE_CHECKING:
    from dexhot.geometry.cameras import Intrinsics
    from dexhot.objects.asset import ObjectAsset
    from dexhot.perception.protocols import (
        BoxDetector,
        HandKeypoints,
        HandMesh,
        ImageToMesh,
        ObjectPose,
        ObjectRegressor,
        Segmenter,
    )

EMBEDDED = "embedded"
HANDS = (EMBEDDED, "rtmpose", "mmpose")
MASKS = (EMBEDDED, "sam2", "edgetam")
POSES = (EMBEDDED, "foundationpose", "foundationpose-library")
NONE = "none"
MESHES = (NONE, "keypoints")
BOXES = (EMBEDDED,)
LIVE = {"keypoints": HANDS, "masks": MASKS, "poses": POSES}  # the live graphs' words; `hands` are the sides there


def check_live(hands: str = "right", **names: str) -> None:
    """Names of estimators by the live graphs' words, for people's `hands`: right, left or both. Raises NotFoundError,
    or DexhotError for one that needs what a live camera or this machine lacks, as far as that is known without making
    it."""
    for word, name in names.items():
        if name not in LIVE[word]:
            module, _ = _parts(word, name, LIVE[word])
            if not _there(module):
                raise DexhotError(f"{word}:={name} cannot be imported: no module {module} is in PYTHONPATH.")
    if names.get("keypoints") == "mmpose" and hands == "both":
        raise DexhotError("keypoints:=mmpose does not tell right from left: look for the right or the left hand alone.")
    if names.get("keypoints") == "rtmpose":
        from dexhot.perception.adapters.rtmpose import FILE, SOURCE

        if missing_hand_landmarks():
            raise DexhotError(
                "keypoints:=rtmpose finds the keypoints of a hand in its box, which nobody marks before a live camera: "
                "run `dexhot models get hand-landmarks`, whose models find hands."
            )
        given_file(FILE, SOURCE)
    masks = names.get("masks", EMBEDDED)
    if masks != EMBEDDED and masks in MASKS:
        from dexhot.perception.adapters.sam2 import weights_of

        weights_of(masks)


def live_hands_of(name: str, hands: str) -> "HandKeypoints":
    """Keypoints of people's `hands` (right, left or both) before a live camera. Raises DexhotError, as hands_of."""
    check_live(hands, keypoints=name)
    if name == EMBEDDED:
        return landmark_hands(2 if hands == "both" else 1)
    return hands_of(name, hands, switch="keypoints:=")


def hands_of(name: str, side: str = "any", boxed: bool = False, switch: str = "--hands ") -> "HandKeypoints":
    """Keypoints of hands; `boxed`: a box of each is given in the first image. Raises DexhotError where a package or a
    weight is missing."""
    if name == EMBEDDED:
        return landmark_hands()
    if name == "rtmpose":
        from dexhot.perception.adapters.rtmpose import RtmposeHand
        from dexhot.perception.boxed_hands import BoxedHands

        in_box = RtmposeHand()
        if boxed and missing_hand_landmarks():
            return BoxedHands(in_box)
        if missing_hand_landmarks():
            raise DexhotError(
                "RTMPose-hand finds the keypoints of a hand in a box: mark it in the first frame (--prompt "
                "right:U0,V0,U1,V1), or run `dexhot models get hand-landmarks`, whose models find hands."
            )
        return BoxedHands(in_box, landmark_hands())
    if name == "mmpose":
        from dexhot.perception.adapters.mmpose import load_mmpose

        if side not in ("right", "left") and not boxed:
            raise DexhotError("MMPose does not tell right from left: give --side right or --side left.")
        return load_mmpose("left" if side == "left" else "right", device())
    make: Callable[[str], HandKeypoints] = _own(switch, name, HANDS)
    return make(side)


def landmark_hands(count: int = 2) -> "HandKeypoints":
    """The embedded one, of up to `count` hands."""
    from dexhot.perception.hand_landmarks import LandmarkHands

    return LandmarkHands(count)


def segmenter_of(name: str, switch: str = "--masks ") -> "Segmenter | None":
    """Masks by a streaming segmenter; None for the embedded ones. Raises DexhotError, as hands_of."""
    if name == EMBEDDED:
        return None
    if name in MASKS:
        from dexhot.perception.adapters.sam2 import load_masks

        return load_masks(name, device())
    make: Callable[[], Segmenter] = _own(switch, name, MASKS)
    return make()


def poses_of(name: str, asset: "ObjectAsset | None", camera: "Intrinsics") -> "ObjectPose | None":
    """Poses of a known object; None for the embedded ones. Raises DexhotError, as hands_of."""
    if name != EMBEDDED and asset is None:
        raise DexhotError(f"--poses {name} estimates the pose of a known object: name it with --object.")
    make = None if asset is None else poses_maker(name, asset)
    return None if make is None else make(camera)


def poses_maker(
    name: str, asset: "ObjectAsset", switch: str = "--poses "
) -> "Callable[[Intrinsics], ObjectPose] | None":
    """What makes the estimator of an object's poses once the camera is known; None for the embedded one. Raises
    DexhotError, as hands_of, at once."""
    if name == EMBEDDED:
        return None
    if name in POSES:
        from dexhot.perception.adapters.foundationpose import load_foundationpose, load_library

        loaded = load_foundationpose(asset) if name == "foundationpose" else load_library(asset)
        return lambda camera: loaded
    make: Callable[[ObjectAsset, Intrinsics], ObjectPose] = _own(switch, name, POSES)
    return lambda camera: make(asset, camera)


def meshes_of(name: str) -> "HandMesh | None":
    """Coarse meshes of hands, or none, where fits start from the keypoints. Raises DexhotError, as hands_of."""
    if name == NONE:
        return None
    if name == "keypoints":
        from dexhot.perception.hand_meshes import KeypointMesh

        return KeypointMesh()
    make: Callable[[], HandMesh] = _own("--meshes ", name, MESHES)
    return make()


def boxes_of(name: str) -> "BoxDetector | None":
    """A detector of hands and object; None for boxes of keypoints and masks. Raises DexhotError, as hands_of."""
    if name == EMBEDDED:
        return None
    make: Callable[[], BoxDetector] = _own("--boxes ", name, BOXES)
    return make()


def regressor_of(name: str, asset: "ObjectAsset", camera: "Intrinsics") -> "ObjectRegressor":
    """A regressor of a known object's pose from colour, a lab's own. Raises DexhotError where it cannot be imported."""
    make: Callable[[ObjectAsset, Intrinsics], ObjectRegressor] = _own("--regressor ", name, ())
    return make(asset, camera)


def mesher_of(name: str) -> "ImageToMesh":
    """An image-to-mesh model, a lab's own. Raises DexhotError where it cannot be imported."""
    make: Callable[[], ImageToMesh] = _own("--mesher ", name, ())
    return make()


def device() -> str:
    """Where adapters that need torch run: on a GPU if there is one."""
    try:
        import torch
    except ImportError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def _own(switch: str, name: str, valid: tuple[str, ...]) -> Any:
    """The function that MODULE:FUNCTION names; `switch` as it is written before the name. Raises NotFoundError,
    DexhotError."""
    module, function = _parts(switch.rstrip(" :="), name, valid)
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as e:
        raise DexhotError(f"{switch}{name} cannot be imported (is its folder in PYTHONPATH?): {e}.") from e


def _parts(what: str, name: str, valid: tuple[str, ...]) -> tuple[str, str]:
    """MODULE and FUNCTION. Raises NotFoundError for a name that is neither that nor one of `valid`."""
    module, colon, function = name.partition(":")
    if not (colon and module and function):
        raise NotFoundError(f"estimator for {what}", name, (*valid, "MODULE:FUNCTION"))
    return module, function


def _there(module: str) -> bool:
    """Whether a module exists, which is not imported: it may load its weights."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
