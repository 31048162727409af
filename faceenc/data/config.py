"""[data] of a configuration, and the faces that it names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import numpy as np

from faceenc.core import ConfigError, OnNoFace, Progress, check_ranges
from faceenc.data.faceset import TEST_SHARE, FaceSet
from faceenc.faces import ALIGNED_SIZE, Framing

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class DataConfig:
    """[data]: the people.

    Attributes:
        source: "orl" (the built-in demo) or a folder with one sub-folder a person. `~` and `$VARIABLES` are replaced.
        size: side of the crops in pixels.
        framing: "aligned" or "square", see `faceenc.faces.frame_face`; the demo's crops are what the measurement wants.
        test_share: share of each person's photos that are for testing.
        min_images: people with fewer photos are left out.
        on_no_face: "skip", "whole" or "fail": what becomes of photos without a face.
        unlabelled: folders of other faces, which training with init "dlib" learns from without their names.
    """

    source: str = "orl"
    size: int = ALIGNED_SIZE
    framing: str = "aligned"
    test_share: float = TEST_SHARE
    min_images: int = 2
    on_no_face: str = "skip"
    unlabelled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, known in (("framing", sorted(get_args(Framing))), ("on_no_face", get_args(OnNoFace))):
            if getattr(self, name) not in known:
                raise ConfigError(f"[data] {name} {getattr(self, name)!r} is not known: use one of {', '.join(known)}")
        check_ranges(self, "[data]")
        if not all((self.source, *self.unlabelled)):
            raise ConfigError('[data] names no folder (""): write the path of one, or source = "orl"')


def expand(path: str) -> Path:
    """A path of a configuration with `~` and `$VARIABLES` replaced.

    Raises:
        ConfigError: a variable is not set.
    """
    expanded = os.path.expandvars(path)
    if match := re.search(r"\$(\w+|\{\w+\})", expanded):
        name = match[1].strip("{}")
        rest = expanded.replace(match[0], "FOLDER")
        raise ConfigError(
            f"{path!r} names the variable {name}, which is not set: export {name}=FOLDER, so that there is {rest}"
        )
    return Path(expanded).expanduser()


def load_data(config: DataConfig, *, progress: Progress, orl_framing: Framing = "square") -> FaceSet:
    """The people that the configuration names: the built-in ORL faces, in the framing said here, or a folder of folders."""
    from faceenc.data.demo import load_orl
    from faceenc.data.folder import load_folder

    report = partial(progress, "faces")
    if config.source == "orl":
        return load_orl(config.size, framing=orl_framing, progress=report)
    return load_folder(
        expand(config.source),
        config.size,
        framing=cast(Framing, config.framing),
        test_share=config.test_share,
        min_images=config.min_images,
        on_no_face=cast(OnNoFace, config.on_no_face),
        progress=report,
    )


def load_unlabelled(config: DataConfig, *, progress: Progress) -> NDArray[np.uint8]:
    """(M, S, S, 3) the faces of the configuration's unlabelled folders."""
    from faceenc.data.folder import load_faces

    parts = [np.zeros((0, config.size, config.size, 3), np.uint8)]
    for folder in map(expand, config.unlabelled):
        report = partial(progress, folder.name)
        parts.append(load_faces(folder, config.size, framing=cast(Framing, config.framing), progress=report)[0])
    return np.concatenate(parts)
