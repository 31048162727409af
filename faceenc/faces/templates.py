"""Where eyes and mouth lie in the crops that recognisers are shown. Each of these numbers stands here and nowhere else.

Convention
    Points are right eye, left eye and the mouth's centre, each x + iy in pixels from the crop's left upper corner.
"""

from __future__ import annotations

# dlib's face chip: on average over faces.
CHIP_SIZE = 150
CHIP_POINTS = (47.12 + 47.77j, 101.88 + 47.77j, 74.5 + 107.52j)

# The aligned crop, which all our recognisers share: dlib's chip in its middle, and as much around it on each side.
ALIGNED_SIZE = 224

ALIGNED_BORDER = (ALIGNED_SIZE - CHIP_SIZE) / 2 / CHIP_SIZE  # as a share of the chip

# The hundredths of the chip's points, and no dust of their sums.
ALIGNED_POINTS = tuple(
    complex(*(round(value + ALIGNED_BORDER * CHIP_SIZE, 2) for value in (point.real, point.imag))) for point in CHIP_POINTS
)

# Centre and side of the square crop (MediaPipe's box and a fifth of it on each side) in an aligned picture: the median over
# 221 faces of LFW and CelebA, which spread by 15 and 5 pixels across and down, and by 6 in the side.
ALIGNED_SQUARE = (111 + 112j, 186.5)

ARCFACE_SIZE = 112

ARCFACE_POINTS = (38.29 + 51.70j, 73.53 + 51.50j, 56.14 + 92.28j)

# The key points of a face that fills a picture, in shares of its side: eyes, nose, mouth, ears, as MediaPipe orders them.
WHOLE_POINTS = ((0.36, 0.38), (0.64, 0.38), (0.5, 0.55), (0.5, 0.68), (0.2, 0.45), (0.8, 0.45))
