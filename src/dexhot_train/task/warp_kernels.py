"""What the MuJoCo Warp backend runs on the device besides MuJoCo."""

import warp as wp

from dexhot.geometry.warp_start import start_warp

start_warp()


@wp.kernel(enable_backward=False)
def copy_rows(
    rows: wp.array(dtype=int),
    source: wp.array(dtype=int),
    library: wp.array2d(dtype=int),
    target: wp.array2d(dtype=int),
):
    """target[rows[i]] = library[source[i]]."""
    i, j = wp.tid()
    target[rows[i], j] = library[source[i], j]
