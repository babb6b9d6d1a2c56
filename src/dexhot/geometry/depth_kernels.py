"""Compiled drawing of a mesh's depth, without gradients: a millisecond where the rasteriser's set-up would take longer.

Cameras are (4,) arrays fx fy cx cy of the image that is drawn into.
"""

import numpy as np
from numba import njit

NEAREST = 0.05  # m from the camera; faces nearer than this are not drawn


@njit(cache=True, nogil=True)
def draw_depth(vertices: np.ndarray, faces: np.ndarray, camera: np.ndarray, image: np.ndarray) -> None:
    """The nearest z of a mesh in each pixel, into image (H, W), which holds what is there already."""
    H, W = image.shape
    u, v = np.empty(vertices.shape[0]), np.empty(vertices.shape[0])
    for k in range(vertices.shape[0]):
        z = max(vertices[k, 2], NEAREST)
        u[k], v[k] = camera[0] * vertices[k, 0] / z + camera[2], camera[1] * vertices[k, 1] / z + camera[3]
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        za, zb, zc = vertices[a, 2], vertices[b, 2], vertices[c, 2]
        if za < NEAREST or zb < NEAREST or zc < NEAREST:
            continue
        ua, va, ub, vb, uc, vc = u[a], v[a], u[b], v[b], u[c], v[c]
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
