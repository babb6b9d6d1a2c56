"""The rasteriser and its pyramid as torch functions, sharing memory with Warp on the CPU and on CUDA."""

from typing import Any

import torch
import warp as wp

from dexhot.errors import DexhotError
from dexhot.geometry.raster.pyramid import reduce_all, reduce_all_backward
from dexhot.geometry.raster.rasterizer import DeviceRender, Rasterizer


def rasterize(
    rasterizer: Rasterizer, points: torch.Tensor, colors: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points and colors (B, V, 3) float32 -> mask (B, H, W, 4), image (B, H, W, 3), depth and faces (B, H, W).

    Shapes, units and where there are gradients as in `Render`; the image is empty without colors. The tensors must be
    on the rasteriser's device.
    """
    for name, tensor in (("points", points), ("colors", colors)):
        if tensor is None:
            continue
        if tensor.dtype != torch.float32 or tensor.shape != (len(points), rasterizer.vertex_count, 3):
            raise DexhotError(
                f"{name} are {tensor.dtype} {tuple(tensor.shape)}, expected float32 (B, {rasterizer.vertex_count}, 3)."
            )
        if str(wp.device_from_torch(tensor.device)) != rasterizer.device:
            raise DexhotError(f"{name} are on {tensor.device}, but the rasteriser is on {rasterizer.device}.")
    outputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
    outputs = _Rasterize.apply(rasterizer, points, points.new_empty(0) if colors is None else colors)
    return outputs


def soft_pyramid(mask: torch.Tensor, levels: int) -> tuple[torch.Tensor, ...]:
    """Mask (B, H, W, 4) -> `levels` masks, each half as large; see `pyramid`."""
    found: tuple[torch.Tensor, ...] = _Pyramid.apply(mask, levels)
    return found


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rasterizer: Rasterizer, points: torch.Tensor, colors: torch.Tensor) -> Any:
        shaded = colors.numel() > 0
        drawn = rasterizer.run(_vectors(points, wp.vec3), _vectors(colors, wp.vec3) if shaded else None)
        ctx.rasterizer, ctx.drawn = rasterizer, drawn
        ctx.save_for_backward(points, colors)  # notices when they are changed in place before the backward pass
        faces = wp.to_torch(drawn.faces)
        ctx.mark_non_differentiable(faces)
        ctx.set_materialize_grads(False)
        image = wp.to_torch(drawn.image) if shaded else points.new_empty(0)
        return wp.to_torch(drawn.mask), image, wp.to_torch(drawn.depth), faces

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        drawn: DeviceRender = ctx.drawn
        _points, _colors = ctx.saved_tensors
        mask, image, depth, _faces = grads
        points_grad, colors_grad = ctx.rasterizer.run_backward(
            drawn,
            None if mask is None else _vectors(mask, wp.vec4),
            None if image is None or not drawn.shaded else _vectors(image, wp.vec3),
            None if depth is None else wp.from_torch(depth.contiguous()),
        )
        return None, wp.to_torch(points_grad), wp.to_torch(colors_grad) if drawn.shaded else None


class _Pyramid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mask: torch.Tensor, levels: int) -> Any:
        _mask, *coarse = reduce_all(_vectors(mask, wp.vec4), levels)
        return mask.view_as(mask), *(wp.to_torch(level) for level in coarse)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        arrays = [_vectors(grad.clone(), wp.vec4) for grad in grads]  # summed in place
        return wp.to_torch(reduce_all_backward(arrays)), None


def _vectors(tensor: torch.Tensor, dtype: Any) -> Any:
    return wp.from_torch(tensor.detach().contiguous(), dtype=dtype)
