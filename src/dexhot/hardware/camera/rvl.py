"""RVL, the fast lossless format of compressedDepth (Wilson, "Fast Lossless Depth Image Compression", ISS 2017).

As ROS writes it: width and height (uint32), then words of 32 bits, all little-endian. A word is eight nibbles, highest
first. A number is some nibbles, each with three of its bits, lowest first, and the fourth set where another follows.
The numbers: how many pixels are 0, how many after them are not, then of each of these the difference d to the last
pixel that was not 0, as 2 d, or -2 d - 1 below 0; and so on until all pixels are given.
"""

import numpy as np

from dexhot.errors import FileFormatError

MOST_PIXELS = 2**26  # more than any depth camera has: zeros compress without a limit
MOST_NIBBLES = 11  # of a number of 32 bits


def decode_rvl(data: bytes) -> np.ndarray:
    """(H, W) uint16. Raises FileFormatError for data that is damaged, cut off, or of another format."""
    words = np.frombuffer(data, "<u4", len(data) // 4)
    if len(words) < 2 or not 0 < (size := int(words[0]) * int(words[1])) <= MOST_PIXELS:
        raise FileFormatError("it does not begin with the size of an image")
    numbers = _numbers(words[2:])
    pixel, place, runs = 0, 0, []
    while pixel < size:
        if place + 2 > len(numbers):
            raise FileFormatError(f"it ends after {pixel} of {size} pixels")
        zeros, others = int(numbers[place]), int(numbers[place + 1])
        place, pixel = place + 2, pixel + zeros
        if pixel + others > size or place + others > len(numbers):
            raise FileFormatError(f"it is damaged after {pixel} of {size} pixels, or cut off")
        runs.append((pixel, place, others))
        place, pixel = place + others, pixel + others
    first, source, length = np.array(runs).T
    within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    coded = numbers[np.repeat(source, length) + within]
    image = np.zeros(size, np.uint16)
    image[np.repeat(first, length) + within] = np.cumsum((coded >> 1) ^ -(coded & 1)).astype(np.uint16)
    return image.reshape(int(words[1]), int(words[0]))


def _numbers(words: np.ndarray) -> np.ndarray:
    """(K,) int64 of all numbers in the words (N,), with those of the last word's filling."""
    nibbles = ((words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32)) & 15).ravel().astype(np.int64)
    last = np.flatnonzero(nibbles < 8)
    if not len(last):
        return np.zeros(0, np.int64)
    first = np.concatenate([[0], last[:-1] + 1])
    length = last - first + 1
    if length.max() > MOST_NIBBLES:
        raise FileFormatError("it has numbers of more than 32 bits")
    shift = 3 * (np.arange(last[-1] + 1) - np.repeat(first, length))
    found: np.ndarray = np.add.reduceat((nibbles[: last[-1] + 1] & 7) << shift, first)
    return found
