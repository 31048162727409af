"""From a configuration to the objects of a run: faces loaded, recognisers trained or read, the machine described."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faceenc.benchmark.config import Config, RecognizerConfig
from faceenc.benchmark.plan import Plan, Subject
from faceenc.core import CheckpointError, Progress, cache_dir, describe_environment
from faceenc.data import FaceSet, expand
from faceenc.recognizers import Transformed, accuracy, defence, load_checkpoint, weights_sha256
from faceenc.train import trained

if TYPE_CHECKING:
    pass


def make_plan(config: Config, data: FaceSet, *, limit: int | None, device: str, progress: Progress) -> Plan:
    """Everything a run needs; recognisers without a checkpoint are trained unless they were before.

    Raises:
        CheckpointError: a checkpoint cannot be read or knows other people.
    """
    return Plan(
        config={**config.resolved(), "limit": limit, "device": device},
        data=data,
        subjects=tuple(_subject(part, data, device, progress) for part in config.recognizers),
        entries=config.entries,
        seeds=config.seeds,
        batch_size=config.batch_size,
        limit=limit,
        example_eps=config.example_eps,
        crosscheck_images=config.crosscheck,
        environment=describe_environment(),
        minimum=config.minimum,
        device=device,
    )


def _subject(config: RecognizerConfig, data: FaceSet, device: str, progress: Progress) -> Subject:
    if config.checkpoint:
        path = expand(config.checkpoint)
        model, record = load_checkpoint(path)
        if model.classes != data.classes:
            raise CheckpointError(
                f"checkpoint {path} knows {len(model.classes)} people, the data has {len(data.classes)}"
                " (or others): use the data it was trained on, or train anew by leaving `checkpoint` out"
            )
        if model.framing != data.framing:
            raise CheckpointError(
                f'checkpoint {path} wants its crops "{model.framing}", the data has them "{data.framing}":'
                f' set framing = "{model.framing}" in [data]'
            )
        model.to(device)
    else:
        folder = cache_dir() / "recognizers"
        model, path = trained(data, config.training, folder=folder, device=device, progress=progress)
        record = load_checkpoint(path)[1]
    known: dict[str, Any] = {"sha256": weights_sha256(model), "train": record}
    if not config.defence:
        return Subject(config.name, model, known | {"clean_accuracy": accuracy(model, data, data.test)})
    defended = Transformed(model, defence(config.defence)).eval()
    known |= {"clean_accuracy": accuracy(defended, data, data.test), "defence": config.defence, "aware": config.aware}
    return Subject(config.name, defended, known, None if config.aware else (f"{config.name}, bare", model))
