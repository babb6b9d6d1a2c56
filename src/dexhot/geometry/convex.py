"""Convex decomposition of a mesh, into collision pieces for MuJoCo."""

import numpy as np
from numpy.typing import ArrayLike

from dexhot.errors import MeshError

MAX_VERTICES = 48  # per piece: collision cost grows with it, and 48 keep a cup's rim round enough


def convex_pieces(
    vertices: ArrayLike, faces: ArrayLike, concavity: float = 0.05, most: int = 16, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Approximate convex decomposition (CoACD). Returns a list of (vertices (v, 3), faces (f, 3)).

    concavity: the gap allowed between a piece and its hull, relative to the mesh scaled to unit size. most: maximum
    number of pieces. The mesh need not be watertight: CoACD closes open surfaces, with walls of about 1/30 of the size.
    """
    import coacd

    coacd.set_log_level("error")
    mesh = coacd.Mesh(np.asarray(vertices, float), np.asarray(faces, np.int32))
    parts = coacd.run_coacd(
        mesh,
        threshold=concavity,
        max_convex_hull=most,
        preprocess_mode="auto",
        preprocess_resolution=30,
        resolution=1000,
        mcts_nodes=10,
        mcts_iterations=60,
        mcts_max_depth=2,  # a tenth of the time of CoACD's defaults, with one or two more pieces
        decimate=True,
        max_ch_vertex=MAX_VERTICES,
        seed=seed,
    )
    pieces = [(np.asarray(v, float), np.asarray(f, int)) for v, f in parts if len(v) >= 4]
    if not pieces:
        raise MeshError(
            "the convex decomposition found no solid piece: the mesh has no volume; close its surface first."
        )
    return pieces
