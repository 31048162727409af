"""What cannot be guessed of a recogniser of others: its crops, the order of its colours, the range of its pixels.

Convention
    A net is fed `(x * range - mean) / std`, x being RGB (or BGR) pixels in [0, 1]: mean and std are in units of `range`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from faceenc.core import RANGES, TOP, CheckpointError, ConfigError, build, named_fields, nearest, read_text, read_toml
from faceenc.faces import (
    ALIGNED_SIZE,
    ARCFACE_FIVE,
    ARCFACE_SIZE,
    CHIP_FIVE,
    CHIP_SIZE,
    AlignedCrop,
    ArcFaceCrop,
    CropRule,
    PointsCrop,
    SquareCrop,
)

Metric = Literal["cosine", "euclidean"]

# How crops lie -> the side that they have where nothing else says it.
FRAMINGS = {"arcface112": ARCFACE_SIZE, "dlib150": CHIP_SIZE, "square": ALIGNED_SIZE, "aligned": ALIGNED_SIZE, "points": 0}
_WORDS = {"framing": tuple(FRAMINGS), "colours": ("rgb", "bgr"), "metric": ("cosine", "euclidean")}
_LONGEST = 255  # characters of a name, as of a folder's
_MOST_CLASSES = 10_000_000  # bytes of a file of names


@dataclass(frozen=True, kw_only=True)
class Description:
    """How a recogniser of others is to be fed, and what it answers; in a TOML file by the same names.

    Attributes:
        source: the recogniser as `load_recognizer` takes it, in a TOML file that stands for one; files from its folder.
        framing: "arcface112" and "dlib150": upright by eyes and mouth as those two do, scaled to `size`; "square": the
            detector's box and a fifth of it; "aligned": faceenc's own; "points": by `points`. "" goes by the size: 112 is
            ArcFace's, 150 dlib's, any other is square.
        points: (x, y) in pixels of the crop where right eye (left in the picture), left eye, nose, and the mouth's corners
            are to lie.
        size: side of the crops in pixels; 0 is what the model says, or the framing's own.
        colours: the order of its channels, "rgb" or "bgr".
        range: what white is before mean and std, such as 1 or 255.
        mean: is subtracted, one number or one a channel in the model's order; none is what the model says, or 0; ...
        std: ... and the rest divided by it; none is what the model says, or 1.
        metric: "cosine", or "euclidean" of embeddings as they come.
        classes: of a classifier, a file with a name a line, in the order of its outputs; "" for an embedder.
        licence: of the weights.
    """

    source: str = ""
    framing: str = ""
    points: tuple[tuple[float, ...], ...] = ()
    size: int = 0
    colours: str = "rgb"
    range: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    metric: str = "cosine"
    classes: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        for name, known in _WORDS.items():
            value = getattr(self, name)
            if value not in known and not (name == "framing" and not value):
                raise ConfigError(f"{name} is {value!r}{nearest(value, known)}")
        if self.size and self.size not in RANGES["size"]:
            raise ConfigError(f"size is {self.size}: expected {RANGES['size']}")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (0, 1, 3):
                raise ConfigError(f"{name} has {len(getattr(self, name))} numbers: expected one, or one a channel")
        if not all(value > 0 for value in (*self.std, self.range)):
            raise ConfigError(f"std is {list(self.std)} and range {self.range}: expected numbers above 0")
        if (self.framing == "points") != bool(self.points):
            raise ConfigError('framing = "points" goes with points = [[x, y], ...]: give both, or neither')
        if self.points and ([len(point) for point in self.points] != [2] * 5 or not self.size):
            raise ConfigError("points are five pairs [x, y] (eyes, nose, corners of the mouth) in a crop of `size` pixels")

    def sized(self, size: int | None) -> Description:
        """With a size: of the model's own, where its file says one.

        Raises:
            ConfigError: the two contradict one another.
        """
        if size and self.size and size != self.size:
            raise ConfigError(f"size is {self.size}, the model takes {size} pixels: leave `size` out")
        found = size or self.size or FRAMINGS.get(self.framing) or ARCFACE_SIZE
        by_size = {ARCFACE_SIZE: "arcface112", CHIP_SIZE: "dlib150"}.get(found, "square")
        return dataclasses.replace(self, size=found, framing=self.framing or by_size)

    def crops(self) -> CropRule:
        """How its crops are cut out, once it is `sized`."""
        if self.framing == "square":
            return SquareCrop(self.size)
        if self.framing == "aligned":
            return AlignedCrop(self.size)
        if self.framing == "arcface112" and self.size == ARCFACE_SIZE:
            return ArcFaceCrop()
        if self.framing == "points":
            return PointsCrop(size=self.size, points=tuple(complex(*point) for point in self.points))
        five, side = (ARCFACE_FIVE, ARCFACE_SIZE) if self.framing == "arcface112" else (CHIP_FIVE, CHIP_SIZE)
        return PointsCrop(size=self.size, points=tuple(point * (self.size / side) for point in five))

    @property
    def distance(self) -> Metric:
        return cast("Metric", self.metric)

    def record(self) -> dict[str, Any]:
        """JSON-like: what is not the default, without folders of this machine."""
        fields: dict[str, Any] = named_fields(self)
        defaults: dict[str, Any] = named_fields(Description())
        portable = {"source": "", "classes": Path(self.classes).name if self.classes else ""}
        return {name: portable.get(name, value) for name, value in fields.items()
                if portable.get(name, value) != defaults[name]}  # fmt: skip


def read_description(path: Path) -> Description:
    """A description from its TOML file; the files it names lie in its folder.

    Raises:
        ConfigError: it cannot be read or is no description; names the file and the nearest known key.
    """
    found = read_toml(path, lambda table: build(Description, table, TOP))
    if not found.classes:
        return found
    return dataclasses.replace(found, classes=str(path.parent / Path(found.classes).expanduser()))


def read_classes(path: Path) -> tuple[str, ...]:
    """The names of a file, one a line.

    Raises:
        CheckpointError: it cannot be read, or holds no names of people, or one twice.
    """
    try:
        if path.stat().st_size > _MOST_CLASSES:
            raise CheckpointError(f"classes {path} is larger than {_MOST_CLASSES // 10**6} MB: expected a name a line")
        names = tuple(line.strip() for line in read_text(path, "utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"classes {path} cannot be read ({error}): give a text file in UTF-8, a name a line"
        ) from error
    if not names or len(set(names)) != len(names) or max(map(len, names)) > _LONGEST:
        raise CheckpointError(
            f"classes {path} holds {len(names)} lines, {len(set(names))} different: expected each person's name once,"
            f" of at most {_LONGEST} characters"
        )
    return names
