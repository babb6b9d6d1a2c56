"""Compiled drawing of a mesh's depth, without gradients: a millisecond where the rasteriser's set-up would take longer.

Cameras are (4,) arrays fx fy cx cy of the image that is drawn into.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def draw_depth(vertices: np.ndarray, faces: np.ndarray, camera: np.ndarray, image: np.ndarray) -> None:
    """The nearest z of a mesh in each pixel, into image (H, W), which holds what is there already."""
    H, W = image.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = vertices[a, 2], vertices[b, 2], vertices[c, 2]
        if za < 0.05 or zb < 0.05 or zc < 0.05:
            continue
        ua, va = camera[0] * vertices[a, 0] / za + camera[2], camera[1] * vertices[a, 1] / za + camera[3]
        ub, vb = camera[0] * vertices[b, 0] / zb + camera[2], camera[1] * vertices[b, 1] / zb + camera[3]
        uc, vc = camera[0] * vertices[c, 0] / zc + camera[2], camera[1] * vertices[c, 1] / zc + camera[3]
        area = (ub - ua) * (vc - va) - (vb - va) * (uc - ua)
        if abs(area) < 1e-9:
            continue
        for y in range(max(int(np.ceil(min(va, vb, vc))), 0), min(int(np.floor(max(va, vb, vc))), H - 1) + 1):
            for x in range(max(int(np.ceil(min(ua, ub, uc))), 0), min(int(np.floor(max(ua, ub, uc))), W - 1) + 1):
                w0 = ((ub - x) * (vc - y) - (vb - y) * (uc - x)) / area
                w1 = ((uc - x) * (va - y) - (vc - y) * (ua - x)) / area
                w2 = 1.0 - w0 - w1
                if w0 >= 0.0 and w1 >= 0.0 and w2 >= 0.0:
                    z = 1.0 / (w0 / za + w1 / zb + w2 / zc)
                    if z < image[y, x]:
                        image[y, x] = z
