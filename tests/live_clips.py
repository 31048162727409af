"""Moving pictures of ORL people, for tests of the live loop and of video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from faceenc.core import Detector
from faceenc.data import enlarge, read_orl
from faceenc.faces import frame_face
from faceenc.media import Video, VideoFile, to_tensor
from faceenc.recognizers import FaceResNet

WIDTH, HEIGHT = 640, 360
_SCALE = 0.5


def moving(people: Sequence[str], count: int) -> list[NDArray[np.uint8]]:
    """Frames of the given ORL pictures ("s1/9"), side by side on grey, moving by a pixel or two a frame."""
    pictures = read_orl()
    cards = []
    for name in people:
        large = Image.fromarray(enlarge(pictures[name]))
        cards.append(np.array(large.resize((round(large.width * _SCALE), round(large.height * _SCALE)))))
    frames = []
    for k in range(count):
        frame = np.full((HEIGHT, WIDTH, 3), 118, np.uint8)
        for number, card in enumerate(cards):
            x, y = 12 + 320 * number + k, 10 + 2 * k if number else 10 + k
            frame[y : y + card.shape[0], x : x + card.shape[1]] = card[: HEIGHT - y]
        frames.append(frame)
    return frames


def write_clip(path: Path, frames: Sequence[NDArray[np.uint8]], *, rate: float = 25) -> Path:
    """The frames as a video file."""
    with VideoFile(path, rate=rate) as out:
        for frame in frames:
            out.write(frame)
    return path


def read_frames(path: Path) -> list[NDArray[np.uint8]]:
    """All frames of a video file."""
    frames = []
    with Video(path) as video:
        while video.grab():
            frame = video.retrieve()
            assert frame is not None
            frames.append(frame)
    return frames


def small_recognizer(detector: Detector, people: dict[str, str], *, size: int = 64) -> FaceResNet:
    """Knows some ORL people ("s1" -> name): random layers, and a head fitted to images 1 to 7 of each."""
    pictures = read_orl()
    wanted = [(k, enlarge(pictures[f"{person}/{n}"])) for k, person in enumerate(people) for n in range(1, 8)]
    crops = [frame_face(picture, detector(picture)[0], size=size, framing="aligned") for _, picture in wanted]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FaceResNet(tuple(people.values()), size, "aligned").eval().requires_grad_(False)
    head, model.network.fc = model.network.fc, torch.nn.Identity()
    features = model(to_tensor(np.stack(crops))).double()
    model.network.fc = head
    centre = features.mean(0)
    spread = features - centre
    targets = 6 * torch.nn.functional.one_hot(torch.tensor([k for k, _ in wanted])).double()
    gram = spread @ spread.T
    weights = torch.linalg.solve(gram + 1e-3 * gram.trace() / len(gram) * torch.eye(len(gram)), targets).T @ spread
    head.weight.copy_(weights)
    head.bias.copy_(targets.mean(0) - weights @ centre)
    return model
