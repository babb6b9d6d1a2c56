"""FoundationPose behind the ObjectPose protocol, in both of its APIs; the user installs it and makes its estimator.

NVlabs/FoundationPose: register(K, rgb, depth, ob_mask, iteration), track_one(rgb, depth, K, iteration) -> 4x4.
nvidia-isaac/foundation-pose-inference-library: register(frame, objects, masks, depth), track(frame, depth) -> a list
of estimates with a status (0: good) and a pose; a frame has rgb and k, objects are ObjectSpecs, masks are by name.
Neither has a confidence while it tracks: `DepthObjectPose.confidence` of the same mesh judges their poses.
"""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import trimesh

from dexhot.data.files import write_text
from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.cameras import Intrinsics
from dexhot.objects.asset import ObjectAsset
from dexhot.perception.object_pose import DepthObjectPose, RigidModel, asset_model
from dexhot.perception.protocols import ObjectSighting
from dexhot.perception.weights import given_file, weights_dir

NVLABS = "the link in the README of github.com/NVlabs/FoundationPose"
NVLABS_WEIGHTS = ("2023-10-28-18-33-37", "2024-01-11-20-02-45")  # refiner, scorer
NGC, LIBRARY = "NGC (nvidia/tao/foundationpose:deployable_v1.0)", "libfoundation_pose_nvidia.so"


class FoundationPose:
    """`estimator`: NVlabs' FoundationPose object, made for the same mesh as `model` in m."""

    def __init__(self, estimator: Any, model: RigidModel, iterations: tuple[int, int] = (5, 2)):
        self.estimator, self.judge, self.iterations = estimator, DepthObjectPose(model), iterations

    def register(
        self, camera: Intrinsics, color: np.ndarray, depth: np.ndarray, mask: np.ndarray
    ) -> ObjectSighting | None:
        """None where the mask has no depth."""
        if not (mask & (depth > 0)).any():
            return None
        pose = self.estimator.register(
            K=camera.matrix, rgb=color, depth=depth, ob_mask=mask, iteration=self.iterations[0]
        )
        return _judged(self.judge, camera, pose, depth, np.zeros_like(mask))

    def follow(
        self, camera: Intrinsics, color: np.ndarray, depth: np.ndarray, time: float, hidden: np.ndarray
    ) -> ObjectSighting:
        """The next pose."""
        pose = self.estimator.track_one(rgb=color, depth=depth, K=camera.matrix, iteration=self.iterations[1])
        return _judged(self.judge, camera, pose, depth, hidden)


class FoundationPoseLibrary:
    """`estimator`: the inference library's MultiObjectEstimator; `spec`: the ObjectSpec of the same mesh as `model`."""

    def __init__(self, estimator: Any, spec: Any, model: RigidModel):
        self.estimator, self.spec, self.judge = estimator, spec, DepthObjectPose(model)

    def register(
        self, camera: Intrinsics, color: np.ndarray, depth: np.ndarray, mask: np.ndarray
    ) -> ObjectSighting | None:
        """None where the mask has no depth, or the library finds no pose."""
        if not (mask & (depth > 0)).any():
            return None
        masks = {self.spec.name: np.where(mask, 255, 0).astype(np.uint8)}
        [found] = self.estimator.register(_frame(camera, color), [self.spec], masks, np.asarray(depth, np.float32))
        return None if found.status else _judged(self.judge, camera, found.pose, depth, np.zeros_like(mask))

    def follow(
        self, camera: Intrinsics, color: np.ndarray, depth: np.ndarray, time: float, hidden: np.ndarray
    ) -> ObjectSighting:
        """The next pose; without confidence where the library finds none."""
        [found] = self.estimator.track(_frame(camera, color), np.asarray(depth, np.float32))
        if found.status:
            return ObjectSighting(np.eye(4), 0.0, 0.0)
        return _judged(self.judge, camera, found.pose, depth, hidden)


def load_foundationpose(asset: ObjectAsset) -> FoundationPose:
    """NVlabs' estimator of an object, with its own weights. Raises DexhotError where code or a weight is missing."""
    try:
        import estimater
        import nvdiffrast.torch as raster
        from learning.training.predict_pose_refine import PoseRefinePredictor
        from learning.training.predict_score import ScorePredictor
    except ImportError as e:
        raise DexhotError(
            f"NVlabs' FoundationPose cannot be imported ({e}): install a checkout of github.com/NVlabs/FoundationPose "
            "and add its folder to PYTHONPATH."
        ) from e
    folder = Path(estimater.__file__).parent / "weights"
    for run in NVLABS_WEIGHTS:
        if not (folder / run / "model_best.pth").is_file():
            raise FileFormatError(f"{run}/model_best.pth is missing: get the folder {run} from {NVLABS} into {folder}.")
    mesh = trimesh.Trimesh(asset.vertices, asset.faces, process=False)
    estimator = estimater.FoundationPose(
        model_pts=np.asarray(mesh.vertices),
        model_normals=np.asarray(mesh.vertex_normals),
        mesh=mesh,
        scorer=ScorePredictor(),
        refiner=PoseRefinePredictor(),
        glctx=raster.RasterizeCudaContext(),
        debug=0,
    )
    return FoundationPose(estimator, asset_model(asset))


def load_library(asset: ObjectAsset) -> FoundationPoseLibrary:
    """The inference library's estimator of an object. Raises DexhotError where the package, the built library (named by
    FP_LIBRARY) or a network is missing."""
    try:
        from foundation_pose_nvidia import MultiObjectEstimator, ObjectSpec, RegisterOptions
    except ImportError as e:
        raise DexhotError(
            f"NVIDIA's FoundationPose library cannot be imported ({e}): build github.com/nvidia-isaac/"
            "foundation-pose-inference-library and add its python/src to PYTHONPATH."
        ) from e
    library = os.environ.get("FP_LIBRARY", "")
    if not Path(library).is_file():
        raise DexhotError(
            f"{LIBRARY} is missing: build the library and name that file by FP_LIBRARY (now {library!r})."
        )
    refine, score = (given_file(f"foundationpose/{name}", NGC) for name in ("refiner_net.onnx", "score_net.onnx"))
    cad = weights_dir() / "foundationpose" / f"{asset.name.replace('/', '-')}.obj"
    write_text(cad, trimesh.exchange.obj.export_obj(trimesh.Trimesh(asset.vertices, asset.faces, process=False)))
    options = RegisterOptions(
        library_path=Path(library),
        refine_model_path=refine,
        score_model_path=score,
        engine_cache_dir=weights_dir() / "foundationpose" / "engines",
        score_output_name="score_logit",  # of the published score_net.onnx
    )
    estimator = MultiObjectEstimator(options).__enter__()  # lives as long as the process
    spec = ObjectSpec(name=asset.name, cad_path=cad, mesh_unit_scale=1.0)
    return FoundationPoseLibrary(estimator, spec, asset_model(asset))


def _frame(camera: Intrinsics, color: np.ndarray) -> SimpleNamespace:
    """An image as the library takes it."""
    return SimpleNamespace(rgb=np.ascontiguousarray(color), k=camera.matrix.astype(np.float32))


def _judged(
    judge: DepthObjectPose, camera: Intrinsics, pose: Any, depth: np.ndarray, hidden: np.ndarray
) -> ObjectSighting:
    T = np.asarray(pose, float).reshape(4, 4)
    R, t = np.ascontiguousarray(T[:3, :3]), np.ascontiguousarray(T[:3, 3])
    return ObjectSighting(T, *judge.confidence(camera, R, t, np.asarray(depth, np.float32), hidden))
