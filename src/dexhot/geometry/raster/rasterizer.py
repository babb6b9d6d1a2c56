"""Differentiable rendering of labelled meshes: numpy in, numpy out, forward and backward apart.

    rasterizer = Rasterizer(camera, faces, labels)
    render = rasterizer.forward(points)                    # (B, V, 3) m in the camera's optical frame
    grad, _ = rasterizer.backward(render, mask=render.mask - target)      # d loss / d points

`autograd.py` has the same for torch, `pyramid.py` blurs masks for matching from further away.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import ArrayLike

from dexhot.errors import DexhotError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.raster import kernels
from dexhot.geometry.raster.channels import CHANNELS
from dexhot.geometry.warp_start import start_warp


@dataclass
class DeviceRender:
    """The result of `Rasterizer.run` as Warp arrays, with the data that the backward pass needs."""

    points: Any  # (B, V) vec3
    screen: Any  # (B, V) vec3: u, v, z
    mask: Any  # (B, H, W) vec4
    faces: Any  # (B, H, W) int
    depth: Any  # (B, H, W) float
    colors: Any  # (B, V) vec3, or empty
    image: Any  # (B, H, W) vec3, or empty
    buffer: Any  # (B, H, W) int64: the z-buffer
    pairs: Any  # (2 B H W) int: neighbours that a border may part
    borders: Any  # (2 B H W) Border: the border between them
    pair_count: int = 0

    @property
    def shaded(self) -> bool:
        """Whether there are colours."""
        return bool(self.image.size)


@dataclass
class Render:
    """Images of B poses. Where labels meet, mask and image are anti-aliased; faces and depth are of pixel centres."""

    mask: np.ndarray  # (B, H, W, 4) fraction of the pixel that background and each of CHANNELS covers, summing to 1
    faces: np.ndarray  # (B, H, W) int32: which face is seen, -1 for none
    depth: np.ndarray  # (B, H, W) m along the optical axis, 0 for none
    image: np.ndarray | None  # (B, H, W, 3) colour in the vertices' unit, black for none; None without colours
    device: DeviceRender

    def visible(self, count: int) -> np.ndarray:
        """(B, count) bool: which of the mesh's `count` faces are seen in at least one pixel."""
        seen = np.zeros((len(self.faces), count + 1), bool)  # the last stands for -1
        seen[np.arange(len(seen))[:, None], self.faces.reshape(len(seen), -1)] = True
        return seen[:, :count]


class Rasterizer:
    """Meshes of fixed faces before a pinhole camera (its lens distortion is ignored), at many poses at once.

    Both sides of a face are drawn. A face with a vertex nearer than 1 cm is not. Gradients exist where labels meet, at
    silhouettes and intersections, and through colour and depth of the visible faces.
    """

    def __init__(self, camera: Intrinsics, faces: ArrayLike, labels: ArrayLike, device: str = "cpu"):
        """faces (F, 3), all meshes in one; labels (F,): the channel of each; device: "cpu" or "cuda:0"."""
        faces, labels = np.asarray(faces), np.asarray(labels)
        if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or faces.min() < 0:
            raise DexhotError(f"faces have shape {faces.shape}, expected (F, 3) vertex numbers, F at least 1.")
        if labels.shape != faces.shape[:1] or not np.isin(labels, list(CHANNELS.values())).all():
            choices = ", ".join(f"{k} {name}" for name, k in CHANNELS.items())
            raise DexhotError(f"labels need one number for each of the {len(faces)} faces: {choices}.")
        start_warp()
        if device not in (names := [d.alias for d in wp.get_devices()]):
            raise DexhotError(f"Warp has no device {device!r} here; one of {', '.join(names)}.")
        self.camera, self.device, self.count = camera, device, len(faces)
        self.vertex_count = int(faces.max()) + 1
        self.faces: Any = wp.array(faces.astype(np.int32), dtype=wp.vec3i, device=device)
        self.neighbours: Any = wp.array(neighbours(faces), dtype=wp.vec3i, device=device)
        self.labels: Any = wp.array(labels.astype(np.int32), dtype=int, device=device)
        self._no_colors = wp.empty((0, 0), dtype=wp.vec3, device=device)
        self._no_image = wp.empty((0, 0, 0), dtype=wp.vec3, device=device)

    def forward(self, points: ArrayLike, colors: ArrayLike | None = None) -> Render:
        """Points (B, V, 3) m in the optical frame; colors (V, 3) or (B, V, 3), any unit: without them no image."""
        points = np.ascontiguousarray(points, np.float32)
        if points.ndim != 3 or points.shape[1:] != (self.vertex_count, 3) or not len(points):
            raise DexhotError(f"points have shape {points.shape}, expected (B, {self.vertex_count}, 3), B at least 1.")
        if colors is not None:
            if np.shape(colors) not in (points.shape, points.shape[1:]):
                raise DexhotError(
                    f"colors have shape {np.shape(colors)}, expected {points.shape[1:]} or {points.shape}."
                )
            colors = np.ascontiguousarray(np.broadcast_to(np.asarray(colors, np.float32), points.shape))
        drawn = self.run(self._to_device(points), None if colors is None else self._to_device(colors))
        image = drawn.image.numpy() if drawn.shaded else None
        return Render(drawn.mask.numpy(), drawn.faces.numpy(), drawn.depth.numpy(), image, drawn)

    def backward(
        self,
        render: Render,
        mask: ArrayLike | None = None,
        image: ArrayLike | None = None,
        depth: ArrayLike | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradients of a loss with respect to mask, image and depth (shaped as in the render) -> to points and colors,
        each (B, V, 3).

        The latter is None for a render without colours.
        """
        drawn = render.device
        grads: list[Any] = []
        for name, grad in (("mask", mask), ("image", image), ("depth", depth)):
            expected = getattr(render, name)
            if grad is None:
                grads.append(None)
            elif expected is None:
                raise DexhotError("the gradient of the image needs a render with colours: pass colors to forward.")
            elif np.shape(grad) != expected.shape:
                raise DexhotError(f"the gradient by {name} has shape {np.shape(grad)}, expected {expected.shape}.")
            else:
                grads.append(self._to_device(np.ascontiguousarray(grad, np.float32), flat=name == "depth"))
        points_grad, colors_grad = self.run_backward(drawn, *grads)
        return points_grad.numpy(), colors_grad.numpy() if drawn.shaded else None

    def run(self, points: Any, colors: Any | None) -> DeviceRender:
        """`forward` on Warp arrays (B, V) of vec3 on the rasteriser's device."""
        batch, camera = points.shape[0], self.camera
        shape = (batch, camera.height, camera.width)
        drawn = self._allocate(shape, points, colors)
        drawn.buffer.fill_(int(kernels.EMPTY))
        self._launch(kernels.project, points.shape, [points, *camera.pinhole, drawn.screen])
        size = [camera.width, camera.height]
        self._launch(kernels.draw, (batch, self.count), [drawn.screen, self.faces, *size, drawn.buffer])
        count = wp.zeros(1, dtype=int, device=self.device)
        images = [drawn.mask, drawn.faces, drawn.depth]
        inputs = [drawn.buffer, self.labels, drawn.shaded, *images, drawn.pairs, count]
        self._launch(kernels.resolve, runs(shape), inputs)
        if drawn.shaded:
            inputs = [drawn.screen, self.faces, drawn.colors, drawn.faces, drawn.image]
            self._launch(kernels.shade, runs(shape), inputs)
        drawn.pair_count = int(count.numpy()[0])
        meshes = [drawn.screen, self.faces, self.neighbours, self.labels, drawn.colors, drawn.faces, drawn.depth]
        inputs = [*meshes, drawn.shaded, drawn.pairs, drawn.borders, drawn.mask, drawn.image]
        self._launch(kernels.smooth, (drawn.pair_count,), inputs)
        return drawn

    def run_backward(self, drawn: DeviceRender, mask: Any, image: Any, depth: Any) -> tuple[Any, Any]:
        """`backward` on Warp arrays: gradients (B, H, W) of vec4, vec3, float or None -> (B, V) of vec3, twice."""
        shape = drawn.depth.shape
        screen_grad, points_grad = wp.zeros_like(drawn.screen), wp.empty_like(drawn.screen)
        colors_grad = wp.zeros_like(drawn.colors)
        if mask is None and image is not None:
            mask = wp.zeros(shape, dtype=wp.vec4, device=self.device)
        if mask is not None:
            shaded = image is not None
            meshes = [drawn.screen, self.faces, self.labels, drawn.colors, drawn.faces]
            grads = [mask, image if shaded else self._no_image, screen_grad, colors_grad]
            inputs = [*meshes, shaded, drawn.pairs, drawn.borders, *grads]
            self._launch(kernels.smooth_backward, (drawn.pair_count,), inputs)
        if image is not None:
            inputs = [drawn.screen, self.faces, drawn.colors, drawn.faces, image, screen_grad, colors_grad]
            self._launch(kernels.shade_backward, runs(shape), inputs)
        if depth is not None:
            inputs = [drawn.screen, self.faces, drawn.faces, drawn.depth, depth, screen_grad]
            self._launch(kernels.depth_backward, runs(shape), inputs)
        inputs = [drawn.points, self.camera.fx, self.camera.fy, screen_grad, points_grad]
        self._launch(kernels.project_backward, points_grad.shape, inputs)
        return points_grad, colors_grad

    def _allocate(self, shape: tuple[int, int, int], points: Any, colors: Any | None) -> DeviceRender:
        def empty(dtype: Any) -> Any:
            return wp.empty(shape, dtype=dtype, device=self.device)

        most = 2 * math.prod(shape)
        return DeviceRender(
            points=points,
            screen=wp.empty_like(points),
            mask=empty(wp.vec4),
            faces=empty(int),
            depth=empty(float),
            colors=self._no_colors if colors is None else colors,
            image=self._no_image if colors is None else empty(wp.vec3),
            buffer=empty(wp.int64),
            pairs=wp.empty(most, dtype=int, device=self.device),
            borders=wp.empty(most, dtype=kernels.Border, device=self.device),
        )

    def _launch(self, kernel: Any, dim: tuple[int, ...], inputs: list[Any]) -> None:
        wp.launch(kernel, dim=dim, inputs=inputs, device=self.device)

    def _to_device(self, array: np.ndarray, flat: bool = False) -> Any:
        """(..., k) float32 as an array of vectors; `flat`: of numbers. On the CPU it shares the memory."""
        dtype = float if flat else {3: wp.vec3, 4: wp.vec4}[array.shape[-1]]
        return wp.array(array, dtype=dtype, device=self.device, copy=False)


def runs(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Threads for images (B, H, W)."""
    return shape[0], shape[1], -(-shape[2] // int(kernels.RUN))


def neighbours(faces: np.ndarray) -> np.ndarray:
    """(F, 3) -> (F, 3) int32: the face beyond each edge k to k + 1; -1 unless exactly two faces share it."""
    edges = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    _, edge, uses = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(edge.ravel(), kind="stable")
    first = np.concatenate([[0], np.cumsum(uses)[:-1]])[uses == 2]
    one, two = order[first], order[first + 1]
    found = np.full(faces.size, -1, np.int32)
    found[one], found[two] = two // 3, one // 3
    return found.reshape(faces.shape)
