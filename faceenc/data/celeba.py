"""CelebA: the people with the most photos, chosen and split the same way everywhere, from a local copy of the data set."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from faceenc.core import DataError, write_atomically
from faceenc.data.celeba_files import FETCH, find, image_file, is_there, read_identities
from faceenc.data.crops import Complaints
from faceenc.data.folder import SPLIT_FILE
from faceenc.data.people import Split

logger = logging.getLogger(__name__)

IDENTITIES = 307  # the student report's subset

CREDIT = "CelebA (Liu et al., 2015): for non-commercial research, not to be passed on"

_MISSING_SHARE = 0.1  # more missing images than this are a partial download


@dataclass(frozen=True, slots=True)
class Chosen:
    """One image of the subset.

    Attributes:
        identity: CelebA's number of the person.
        source: the image on disk.
        split: "train" or "test".
        sha256: of the image's bytes.
    """

    identity: str
    source: Path
    split: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.identity}/{self.source.name}"


@dataclass(frozen=True, slots=True)
class Subset:
    """The people with the most images.

    Attributes:
        images: ordered by identity and name, as text.
        missing: names of images that the identity file lists and that are not there, or empty.
    """

    images: tuple[Chosen, ...]
    missing: tuple[str, ...]

    @property
    def manifest(self) -> str:
        """A CSV table of the subset: identity, file, split, sha256."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("identity", "file", "split", "sha256"))
        writer.writerows((image.identity, image.file, image.split, image.sha256) for image in self.images)
        return text.getvalue()


def choose(
    path: str | Path,
    *,
    identities: int = IDENTITIES,
    min_images: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Subset:
    """The people with the most listed images (ties: the lower number first), split by the content of their images.

    Found are torchvision's layout (celeba/identity_CelebA.txt, celeba/img_align_celeba/) and the published archive's
    (Anno/identity_CelebA.txt, Img/img_align_celeba/), with the aligned images or those in the wild (img_celeba/). A few
    missing images, and exact copies within a person, are left out with a warning in the log.

    Args:
        path: the folder.
        identities: how many people; if there are fewer, that is logged.
        min_images: people with fewer listed images are left out; at least 2.
        progress: is called with (done, total) images while they are read for their hashes.

    Raises:
        DataError: something is missing, damaged or only partly there; the line says what to fetch and where to put it.
        ValueError: fewer than 2 people or images wanted.
    """
    if identities < 2 or min_images < 2:
        raise ValueError(f"identities and min_images must be at least 2, got {identities} and {min_images}")
    root = Path(path).expanduser().absolute()
    listing, folder = find(root)
    people = {person: names for person, names in read_identities(listing).items() if len(names) >= min_images}
    ranked = sorted(people, key=lambda person: (-len(people[person]), int(person)))[:identities]
    if len(ranked) < identities:
        logger.warning(
            "%d people have at least %d images in %s, %d were asked for", len(ranked), min_images, listing, identities
        )
    if len(ranked) < 2:
        raise DataError(
            f"{len(ranked)} person(s) with at least {min_images} images in {listing}, 2 are needed: ask for fewer"
        )
    sources = {person: [image_file(folder, name) for name in sorted(people[person])] for person in sorted(ranked)}
    missing = tuple(source.name for own in sources.values() for source in own if not is_there(source))
    total = sum(map(len, sources.values()))
    if len(missing) > _MISSING_SHARE * total:
        raise DataError(
            f"{len(missing)} of the {total} images of the chosen people are missing in {folder}, {missing[0]} for one: "
            f"{FETCH} {folder.parent}; or shorten {listing.name} to the images that are there"
        )
    Complaints("listed, but missing or empty", [str(folder / name) for name in missing]).log()
    return Subset(tuple(_split(sources, set(missing), total - len(missing), progress)), missing)


def lay_out(subset: Subset, output: str | Path) -> Path:
    """Makes `output` a folder for `load_folder`: one sub-folder a person, and the split in manifest.csv.

    The images are hard links where the disk allows them, else copies. The folder appears in one piece or not at all; one
    that holds this very subset already is completed.

    Returns:
        The manifest.

    Raises:
        DataError: `output` holds something else, or cannot be written.
    """
    target = Path(output).expanduser().absolute()
    manifest = target / SPLIT_FILE
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            if not manifest.is_file() or manifest.read_bytes() != subset.manifest.encode():
                raise DataError(f"{target} is taken, and not by this subset of CelebA: choose another, or empty it")
            _fill(subset.images, target)
            return manifest
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of a killed process
        try:
            partial.mkdir(parents=True)
            _fill(subset.images, partial)
            (partial / SPLIT_FILE).write_text(subset.manifest, encoding="utf-8", newline="")
            if target.exists():
                target.rmdir()
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise DataError(f"cannot make {target}: {error}; check the folder and the free space") from error
    return manifest


def _split(
    sources: dict[str, list[Path]], missing: set[str], total: int, progress: Callable[[int, int], None] | None
) -> list[Chosen]:
    chosen: list[Chosen] = []
    copies, done = Complaints("exact copy skipped"), 0
    for person, own in sources.items():
        hashes: dict[str, Path] = {}
        for source in own:
            if source.name in missing:
                continue
            sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
            if hashes.setdefault(sha256, source) != source:
                copies.lines.append(f"{person}/{source.name}")
            done += 1
            if progress is not None:
                progress(done, total)
        tested = Split().tested([(source.name, sha256) for sha256, source in hashes.items()])
        chosen += [
            Chosen(person, source, "test" if source.name in tested else "train", sha256) for sha256, source in hashes.items()
        ]
    copies.log()
    return chosen


def _fill(images: Sequence[Chosen], target: Path) -> None:
    for image in images:
        place = target / image.file
        if place.exists():
            continue
        place.parent.mkdir(exist_ok=True)
        try:
            place.hardlink_to(image.source.resolve())  # a linked link might lead nowhere
        except OSError:  # another disk, or one without links
            write_atomically(place, image.source.read_bytes())
