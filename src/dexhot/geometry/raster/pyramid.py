"""Soft coverage pyramids of masks: matched at coarse levels too, masks attract each other from further away.

The gradient at a silhouette sees only the mask's error at its own border; that of a coarse level reaches two of its
pixels further.
"""

from typing import Any

import numpy as np
import warp as wp
from numpy.typing import ArrayLike

from dexhot.errors import DexhotError
from dexhot.geometry.raster import kernels


def pyramid(mask: ArrayLike, levels: int, device: str = "cpu") -> list[np.ndarray]:
    """Mask (B, H, W, 4) -> `levels` masks, the mask first, each half as large as the one before (odd sizes round up).

    Values remain coverage: fractions of the level's own, overlapping pixels.
    """
    fine = np.ascontiguousarray(mask, np.float32)
    if fine.ndim != 4 or fine.shape[-1] != 4:
        raise DexhotError(f"a mask has shape {fine.shape}, expected (B, H, W, 4).")
    return [level.numpy() for level in reduce_all(_vectors(fine, device), levels)]


def pyramid_backward(grads: list[np.ndarray], device: str = "cpu") -> np.ndarray:
    """Gradients of a loss with respect to each level of `pyramid` -> to the mask (B, H, W, 4)."""
    arrays = [_vectors(np.array(grad, np.float32, order="C"), device) for grad in grads]  # copies: summed in place
    total: np.ndarray = reduce_all_backward(arrays).numpy()
    return total


def reduce_all(mask: Any, levels: int) -> list[Any]:
    """`pyramid` on a Warp array (B, H, W) of vec4."""
    found = [mask]
    for _ in range(levels - 1):
        batch, height, width = found[-1].shape
        shape = (batch, -(-height // 2), -(-width // 2))
        coarse = wp.empty(shape, dtype=wp.vec4, device=mask.device)
        wp.launch(kernels.reduce, dim=shape, inputs=[found[-1], coarse], device=mask.device)
        found.append(coarse)
    return found


def reduce_all_backward(grads: list[Any]) -> Any:
    """`pyramid_backward` on Warp arrays, which it changes; returns the first."""
    for coarse, fine in zip(grads[::-1], grads[-2::-1]):
        wp.launch(kernels.reduce_backward, dim=coarse.shape, inputs=[coarse, fine], device=fine.device)
    return grads[0]


def _vectors(array: np.ndarray, device: str) -> Any:
    return wp.array(array, dtype=wp.vec4, device=device, copy=False)
