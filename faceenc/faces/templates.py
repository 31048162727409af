"""Where eyes and mouth lie in the crops that recognisers are shown. Each of these numbers stands here and nowhere else.

Convention
    Points are right eye, left eye and the mouth's centre, each x + iy in pixels from the crop's left upper corner.
"""

from __future__ import annotations

# dlib's face chip: on average over faces, by MediaPipe's points and by YuNet's (medians over LFW).
CHIP_SIZE = 150
CHIP_POINTS = (47.12 + 47.77j, 101.88 + 47.77j, 74.5 + 107.52j)
CHIP_FIVE = (45.6 + 44.3j, 101.7 + 44.3j, 72.9 + 76.3j, 48.7 + 100.1j, 98.1 + 101.3j)  # in ArcFace's scheme, by YuNet
CHIP_POINTS_YUNET = (*CHIP_FIVE[:2], (CHIP_FIVE[3] + CHIP_FIVE[4]) / 2)

# The aligned crop, which all our recognisers share: dlib's chip in its middle, and as much around it on each side.
ALIGNED_SIZE = 224

ALIGNED_BORDER = (ALIGNED_SIZE - CHIP_SIZE) / 2 / CHIP_SIZE  # as a share of the chip

# The hundredths of the chip's points, and no dust of their sums.
ALIGNED_POINTS, ALIGNED_POINTS_YUNET = (
    tuple(complex(*(round(value + ALIGNED_BORDER * CHIP_SIZE, 2) for value in (point.real, point.imag))) for point in points)
    for points in (CHIP_POINTS, CHIP_POINTS_YUNET)
)

# Centre and side of the square crop (MediaPipe's box and a fifth of it on each side) in an aligned picture: the median over
# 221 faces of LFW and CelebA, which spread by 15 and 5 pixels across and down, and by 6 in the side.
ALIGNED_SQUARE = (111 + 112j, 186.5)

ARCFACE_SIZE = 112

ARCFACE_POINTS = (38.29 + 51.70j, 73.53 + 51.50j, 56.14 + 92.28j)
# Right eye, left eye, nose tip, right and left corner of the mouth.
ARCFACE_FIVE = (38.2946 + 51.6963j, 73.5318 + 51.5014j, 56.0252 + 71.7366j, 41.5493 + 92.3655j, 70.7299 + 92.2041j)

# The key points of a face that fills a picture, in shares of its side: eyes, nose, mouth, ears, as MediaPipe orders them.
WHOLE_POINTS = ((0.36, 0.38), (0.64, 0.38), (0.5, 0.55), (0.5, 0.68), (0.2, 0.45), (0.8, 0.45))
