"""`dexhot bench raster`: the rasteriser's time and gradients, beside a soft rasteriser in torch in the same run.

A hand of capsules and a ball, 1,600 faces together, at 160x120. Measured is what one iteration of a fit costs: masks
forward, the gradient of their squared error by every vertex backward. Times are those of the one thread that computes,
without its waits for a core, so that other work on the machine counts little.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import trimesh

from dexhot.geometry.cameras import Intrinsics, pinhole
from dexhot.geometry.raster.channels import OBJECT
from dexhot.geometry.raster.channels import RIGHT as HAND
from dexhot.geometry.raster.pyramid import pyramid, pyramid_backward
from dexhot.geometry.raster.rasterizer import Rasterizer
from dexhot.progress import track

CAMERA = pinhole(160, 120, 26.0)
SCENES = {  # the ball's centre, m from the palm's (x right, y down, z away from the camera)
    "apart": (0.11, 0.02, 0.0),
    "occluding": (0.03, -0.01, -0.1),
    "touching": (0.01, -0.01, -0.0485),
    "intersecting": (0.02, -0.02, -0.03),
}
SHIFT = np.array([0.003, 0.002, 0.008])  # m, of the masks that are matched
REPEATS = 5
STEP = 1e-5  # m, of the difference quotients


def run(quick: bool = False, **_: Any) -> dict[str, Any]:
    """Time and gradient of both; without torch only ours, with a note."""
    scenes = {name: scene(center) for name, center in SCENES.items()}
    points, faces, labels = scenes["occluding"]
    rasterizer = Rasterizer(CAMERA, faces, labels)
    colors = np.full_like(points, 0.5) + 4.0 * (points - points.mean(0))
    target = rasterizer.forward((points + SHIFT)[None], colors)
    batch = np.repeat(points[None], 20, axis=0)

    def masks(poses: np.ndarray) -> None:
        render = rasterizer.forward(poses)
        rasterizer.backward(render, mask=render.mask - target.mask)

    def image() -> None:
        render = rasterizer.forward(points[None], colors)
        rasterizer.backward(render, image=np.asarray(render.image) - np.asarray(target.image))

    def levels() -> None:
        render = rasterizer.forward(points[None])
        errors = [a - b for a, b in zip(pyramid(render.mask, 4), goal)]
        rasterizer.backward(render, mask=pyramid_backward(errors))

    goal = pyramid(target.mask, 4)
    jobs: dict[str, Callable[[], Any]] = {
        "fwd_bwd": lambda: masks(points[None]),
        "batch20": lambda: masks(batch),
        "image": image,
        "pyramid": levels,
    }
    notes = []
    try:
        peer = SoftRasterizer(CAMERA, faces, labels)
        jobs["peer"] = lambda: peer.fit_step(points, target.mask[0])
    except ImportError as e:
        notes.append(f"the soft rasteriser was not measured ({e}); pip install 'dexhot[peers]'")
    metrics: dict[str, Any] = {f"{name}_ms_p50": ms for name, ms in timed(jobs, 5 if quick else 50).items()}
    ratio = metrics["peer_ms_p50"] / metrics["fwd_bwd_ms_p50"] if "peer" in jobs else None
    every = 8 if quick else 1
    named = track(scenes.items(), "gradients", len(scenes))
    found = {name: gradient_cosine(*scene, every=every) for name, scene in named}
    cosines = {name: cosine for name, (cosine, _) in found.items()}
    metrics |= {
        "speed_ratio": ratio,
        "grad_cosine": min(cosine for name, cosine in cosines.items() if name != "intersecting"),
        **{f"grad_cosine_{name}": cosine for name, cosine in cosines.items()},
        "jump_fraction": max(jumps for _, jumps in found.values()),
    }
    return {"metrics": metrics, "faces": len(faces), "size": f"{CAMERA.width}x{CAMERA.height}", "notes": notes}


def scene(center: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (V, 3) m in the optical frame, faces (F, 3) and their labels (F,): an open hand, a ball at `center`."""
    palm = trimesh.creation.icosphere(subdivisions=2)
    palm.apply_scale([0.04, 0.045, 0.014])
    fingers = []
    for k, (length, angle) in enumerate([(0.05, -60), (0.065, -12), (0.07, 0), (0.065, 10), (0.05, 22)]):
        finger = trimesh.creation.capsule(height=length, radius=0.009, count=[8, 10])
        turn = trimesh.transformations.rotation_matrix(np.radians(90), [1, 0, 0])  # along -y, up in the image
        finger.apply_transform(trimesh.transformations.rotation_matrix(np.radians(angle), [0, 0, 1]) @ turn)
        finger.apply_translation([-0.045 if k == 0 else 0.02 * (k - 2.5), 0.0 if k == 0 else -0.035, 0.0])
        fingers.append(finger)
    arm = trimesh.creation.capsule(height=0.05, radius=0.022, count=[8, 10])
    arm.apply_transform(trimesh.transformations.rotation_matrix(np.radians(-90), [1, 0, 0]))
    arm.apply_translation([0.0, 0.04, 0.0])
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.035)
    ball.apply_translation(center)
    parts = [palm, *fingers, arm, ball]
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    points = np.concatenate([part.vertices for part in parts]) + [-0.0113, 0.0207, 0.6]  # off the pixels' symmetry
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts)])
    labels = np.where(np.arange(len(faces)) < len(faces) - len(ball.faces), HAND, OBJECT)
    return points, faces, labels


def timed(jobs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median time of each, ms: in every round a few calls in a row, the first of which warms the caches."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in track(range(rounds), "timing", rounds):
        for name, job in jobs.items():
            for k in range(REPEATS + 1):
                began = time.thread_time()
                job()
                if k:
                    seconds[name].append(time.thread_time() - began)
    return {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}


def gradient_cosine(points: np.ndarray, faces: np.ndarray, labels: np.ndarray, every: int = 1) -> tuple[float, float]:
    """Cosine between the gradient of a mask's squared error by one in `every` vertex coordinates and central
    differences; and the fraction of these that lie across a jump of the mask, so depend on the step: left out.
    """
    rasterizer = Rasterizer(CAMERA, faces, labels)
    target = rasterizer.forward((points + SHIFT)[None]).mask

    def loss(poses: np.ndarray) -> np.ndarray:
        errors: np.ndarray = ((rasterizer.forward(poses).mask - target).astype(float) ** 2).sum((1, 2, 3)) / 2
        return errors

    render = rasterizer.forward(points[None])
    grad, _ = rasterizer.backward(render, mask=render.mask - target)
    ours, axes = grad.ravel()[::every], np.eye(points.size)[::every].reshape(-1, *points.shape)
    quotients = np.zeros((2, len(axes)))
    for row, step in zip(quotients, (STEP, 0.5 * STEP)):
        for k in range(0, len(axes), 32):
            moves = step * axes[k : k + 32]
            plus, minus = np.split(loss(points + np.concatenate([moves, -moves])), 2)
            row[k : k + 32] = (plus - minus) / (2 * step)
    noise = 0.1 * np.abs(quotients).sum(0) + 1e-3 * np.abs(ours).max()
    smooth = np.abs(quotients[0] - quotients[1]) < noise
    ours, expected = ours[smooth], quotients[0, smooth]
    return float(ours @ expected / np.linalg.norm(ours) / np.linalg.norm(expected)), float(np.mean(~smooth))


class SoftRasterizer:
    """SoftRas (Liu et al. 2019) of label masks in torch, with PyTorch3D's sharpness and reach.

    Coverage is 1 minus the product of what the faces miss, by sigmoids of the squared distance to them; labels are
    blended by coverage and depth. As in ours both sides of a face are drawn. Only pixels near a face's box are tried,
    all of them in one batch. Raises ImportError without torch.
    """

    SIGMA, GAMMA, REACH = 0.36, 0.02, 1.8  # pixels^2: 1e-4 at half the image's height 1; 1/m; pixels: a sigmoid of 1e-4

    def __init__(self, camera: Intrinsics, faces: np.ndarray, labels: np.ndarray):
        import torch

        torch.set_num_threads(1)  # one core each
        self.torch, self.camera = torch, camera
        self.faces, self.labels = torch.tensor(faces), torch.tensor(labels)

    def masks(self, points: Any) -> Any:
        """Points (V, 3) -> mask (H, W, 4)."""
        torch, camera = self.torch, self.camera
        z = points[:, 2:]
        focal, center = torch.tensor([camera.fx, camera.fy]), torch.tensor([camera.cx, camera.cy])
        corners = torch.cat([points[:, :2] / z * focal + center, z], dim=1)[self.faces]  # (F, 3, 3)
        face, pixel = self._candidates(corners.detach())
        corner = corners[face]
        at = torch.stack([pixel % camera.width, pixel // camera.width], dim=1).float()
        a, b = corner[:, :, :2], corner[:, [1, 2, 0], :2]
        edge, arm = b - a, at[:, None] - a
        along = ((edge * arm).sum(-1) / (edge * edge).sum(-1)).clamp(0.0, 1.0)
        squared = ((arm - along[..., None] * edge) ** 2).sum(-1).amin(1)
        side = edge[..., 0] * arm[..., 1] - edge[..., 1] * arm[..., 0]  # (N, 3): twice the areas opposite to corner k+2
        inside = (side > 0).all(1) | (side < 0).all(1)
        covered = torch.sigmoid(torch.where(inside, squared, -squared) / self.SIGMA)
        weight = side[:, [1, 2, 0]] / side.sum(1, keepdim=True)
        weight = weight.clamp(0.0, 1.0)
        nearness = (weight / weight.sum(1, keepdim=True) / corner[:, :, 2]).sum(1)
        blend = covered * torch.exp((nearness - nearness.detach().max()) / self.GAMMA)
        count = camera.height * camera.width
        missed = torch.exp(torch.zeros(count).index_add(0, pixel, torch.log1p(-covered.clamp(max=1.0 - 1e-6))))
        total = torch.zeros(4 * count).index_add(0, 4 * pixel + self.labels[face], blend).reshape(count, 4)
        seen = (1.0 - missed[:, None]) * total / (total.sum(1, keepdim=True) + 1e-12)
        return torch.cat([missed[:, None], seen[:, 1:]], dim=1).reshape(camera.height, camera.width, 4)

    def fit_step(self, points: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Gradient (V, 3) of the mask's squared error by the points."""
        leaf = self.torch.tensor(points, dtype=self.torch.float32, requires_grad=True)
        loss = 0.5 * ((self.masks(leaf) - self.torch.tensor(target)) ** 2).sum()
        grad: np.ndarray = self.torch.autograd.grad(loss, leaf)[0].numpy()
        return grad

    def _candidates(self, corners: Any) -> tuple[Any, Any]:
        """Faces and pixels, (N,) each, that lie within REACH of each other's boxes."""
        torch, camera = self.torch, self.camera
        size = torch.tensor([camera.width, camera.height])
        low = (corners[:, :, :2].amin(1) - self.REACH).ceil().long().clamp(min=0)
        high = torch.minimum((corners[:, :, :2].amax(1) + self.REACH).floor().long() + 1, size)
        sides = (high - low).clamp(min=0)
        count = sides.prod(1)
        row = torch.repeat_interleave(torch.arange(len(corners)), count)
        step = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
        x, y = low[row, 0] + step % sides[row, 0], low[row, 1] + step // sides[row, 0]
        return row, y * camera.width + x
