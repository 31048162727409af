"""By how much one picture of a face was moved smoothly to become another, by dense optical flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_NOISE = 1.5  # pixels: sigma of the blur that hides noise from the flow
_SMOOTH = 6  # pixels: sigma of what counts as smooth


def displacement(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 2) float32: right and down, pixels from each of `after` to where it was in `before`; (H, W, 3) uint8 RGB both.

    DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", https://arxiv.org/abs/1603.03590), smoothed: what a
    change of shape does at single pixels counts as noise.
    """
    import cv2

    grey = [cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), _NOISE) for picture in (before, after)]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(1)
    flow = search.calc(grey[1], grey[0], np.zeros((*before.shape[:2], 2), np.float32))
    return np.asarray(cv2.GaussianBlur(flow, (0, 0), _SMOOTH), np.float32)


def displaced(picture: NDArray[np.uint8], flow: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The (H, W, 3) picture with each pixel taken from where the flow says it was, bicubic; its border is repeated."""
    import cv2

    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    taken = cv2.remap(picture, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(taken, np.uint8)
