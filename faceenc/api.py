"""What `import faceenc` offers in functions; each is a line over the room that does it.

`protect` and `verify` are for photos, `benchmark`, `transfer` and `crosscheck` measure recognisers. The same names stand in
`faceenc`, with `Protector`, `load_recognizer`, `run_attack`, the attacks and the goals: docs/library.md shows them at work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from numpy.typing import NDArray
    from PIL import Image

    from faceenc.benchmark import Report
    from faceenc.core import Goal, Model, Progress
    from faceenc.media import Picture
    from faceenc.protect import Evidence, Options, Protected


@overload
def protect(
    image: Picture, options: Options | None = ..., *, output: str | Path, device: str = ..., progress: Progress | None = ...
) -> Protected[Path]: ...


@overload
def protect(
    image: str | Path | bytes, options: Options | None = ..., *, device: str = ..., progress: Progress | None = ...
) -> Protected[bytes]: ...


@overload
def protect(
    image: NDArray[np.uint8], options: Options | None = ..., *, device: str = ..., progress: Progress | None = ...
) -> Protected[NDArray[np.uint8]]: ...


@overload
def protect(
    image: Image.Image, options: Options | None = ..., *, device: str = ..., progress: Progress | None = ...
) -> Protected[Image.Image]: ...


def protect(
    image: Picture,
    options: Options | None = None,
    *,
    output: str | Path | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Protected[Any]:
    """Change the faces of a picture so that recognisers take them for others, and ask recognisers whether they do.

    >>> found = faceenc.protect("photo.jpg", output="protected.png")
    >>> found.matched
    0

    Nets stay loaded for the next call with the same options; with a `Protector` you say when they go.

    Args:
        image: path of a photo; a photo file's bytes; (H, W, 3) uint8 RGB; or a Pillow image, upright. Left as it is.
        options: how, see `Options`.
        output: a file to write, in the format of its name; appears in one piece or not at all.
        device: where nets compute, "cpu" or "cuda".
        progress: is called with what is done, how many hundredths of it, and 100.

    Returns:
        Its `image` is the path that was written; else of the form that was given, and for a path the file's bytes
        (PNG, if the options do not say otherwise). Its `evidence` is what judges say, in `summary` in one sentence.

    Raises:
        NoFaceError: there is none, and the whole photo was not asked for.
        DataError: the picture cannot be read, or the output not be written.
        FaceencError: the options cannot be met (weights, consent, gallery).
    """
    from faceenc.protect import Options, shared_protector

    protector = shared_protector(options or Options(), device)
    if output is None:
        return protector(image, progress=progress)
    return protector(image, output=output, progress=progress)


def verify(
    original: Picture,
    protected: Picture,
    *,
    judges: Sequence[str] = (),
    gallery: str | Path | None = None,
    person: str | None = None,
    thorough: bool = False,
    device: str = "cpu",
    trust_code: bool = False,
    progress: Progress | None = None,
) -> Evidence:
    """Ask recognisers whether a protected photo still shows the people of its original.

    >>> faceenc.verify("photo.jpg", "protected.png").matches()
    0

    Args:
        original: path of a photo, a photo file's bytes, (H, W, 3) uint8 RGB, or a Pillow image.
        protected: the same photo, perhaps scaled, recompressed or cropped a little; no other change of its size.
        judges: to ask besides dlib, as `load_recognizer` takes them.
        gallery: folder of other people, a sub-folder a person: adds the rank among them.
        person: the gallery's sub-folder with the person's own other photos.
        thorough: search the protected photo for faces at full size, however large it is.
        device: where nets compute, "cpu" or "cuda".
        trust_code: whether judges may be code of others, see `load_recognizer`.
        progress: is told how far the gallery is.

    Raises:
        ConfigError: a person without a gallery, or of whom it has no photo.
        DataError: a photo cannot be read, the second is no copy of the first, or the original shows no face.
    """
    from faceenc.protect import verify_photo

    return verify_photo(
        original,
        protected,
        judges=judges,
        gallery=None if gallery is None else Path(gallery),
        person=person,
        thorough=thorough,
        device=device,
        trust_code=trust_code,
        progress=progress,
    )


def benchmark(
    config: str | Path | None = None,
    *,
    recognizers: Sequence[str] = (),
    data: str | Path | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    limit: int | None = None,
    seed: int | None = None,
    device: str = "cpu",
    jobs: int = 1,
    trust_code: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Attack recognisers as a configuration says, of known people by name or of strangers by pairs, and write the report.

    Args:
        config: a TOML file, or the name of a built-in configuration; None is "demo", and "verification" where recognisers
            are named.
        recognizers: as `load_recognizer` takes them, instead of the configuration's.
        data: a folder with one sub-folder a person or "orl", instead of the configuration's people.
        output: the run's folder; None is runs/NAME, numbered.
        resume: go on with the killed run in `output`.
        limit: attack only the first so many test images, or pairs.
        seed: instead of the configuration's seeds.
        device: where nets compute, "cpu" or "cuda".
        jobs: processes that compute cells, of one thread each.
        trust_code: whether recognisers may be code of others, see `load_recognizer`.
        progress: is called with what is done, how much of it, and how much there is.

    Raises:
        ConfigError: the configuration makes no sense.
        RunError: the folder holds another run, or none to resume.
        FaceencError: data or recognisers cannot be had.
    """
    from faceenc.benchmark import run_config, silent

    folder = None if output is None else Path(output)
    return run_config(
        config, recognizers=recognizers, data=data, output=folder, resume=resume, limit=limit, seed=seed, device=device,
        jobs=jobs, trust_code=trust_code, progress=progress or silent,
    )  # fmt: skip


def transfer(
    config: str | Path = "transfer",
    *,
    output: str | Path | None = None,
    resume: bool = False,
    limit: int | None = None,
    device: str = "cpu",
    jobs: int = 1,
    trust_code: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Make noise on some recognisers and let all judge it, on people whom neither attack nor threshold knows.

    Args and errors as of `benchmark`; `limit` counts photos.
    """
    from faceenc.benchmark import run_transfer_config, silent

    folder = None if output is None else Path(output)
    return run_transfer_config(
        config,
        output=folder,
        resume=resume,
        limit=limit,
        device=device,
        jobs=jobs,
        trust_code=trust_code,
        progress=progress or silent,
    )


def crosscheck(
    model: Model,
    x: torch.Tensor,
    labels: torch.Tensor | Mapping[str, Goal],
    *,
    steps: int = 10,
    engines: Sequence[str] = ("exact", "fused"),
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Compare our PGD with ART's from the same start, step by step, for {Linf, L2} x {dodge, impersonate} and each engine.

    Args:
        model: any module, (N, 3, H, W) in [0, 1] -> (N, K) logits or (N, D) embeddings, in evaluation mode.
        x: (N, 3, H, W) float32 in [0, 1], one batch.
        labels: (N,) true identities, and the target of each image is the identity after its own; of an embedder goals by
            name, such as {"dodge": MoveAway(references, threshold)} with the embeddings of other photos.
        steps: of both.
        engines: of our PGD, of "exact", "fused" and "bf16".
        progress: is called with what is done, how much of it, and how much there is.

    Returns:
        One row a norm, goal, engine and step, see `faceenc.benchmark.crosscheck`.
    """
    from faceenc.benchmark import crosscheck as compare
    from faceenc.benchmark import silent

    return compare(model, x, labels, steps=steps, engines=tuple(engines), progress=progress or silent)
