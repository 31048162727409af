"""From a configuration to the objects of a run: faces loaded, recognisers trained or read, the machine described."""

from __future__ import annotations

from functools import partial
from typing import Any

from faceenc.benchmark.classes import matched_classes
from faceenc.benchmark.classification import Classification
from faceenc.benchmark.config import Config, RecognizerConfig
from faceenc.benchmark.plan import Plan, Subject
from faceenc.benchmark.runner import silent
from faceenc.core import CheckpointError, ConfigError, Progress, cache_dir, describe_environment
from faceenc.data import FaceSet, expand, load_data
from faceenc.recognizers import (
    ForeignClassifier,
    Transformed,
    accuracy,
    defence,
    load_checkpoint,
    load_recognizer,
    weights_sha256,
)
from faceenc.train import trained


def prepare_classification(config: Config, limit: int | None, device: str, trust_code: bool = False) -> Classification:
    """What a worker measures on, made of what the driver left in the cache: faces, and recognisers trained before."""
    data = load_data(config.data, progress=silent)
    plan = make_plan(config, data, limit=limit, device=device, trust_code=trust_code, progress=silent, describe=False)
    return Classification(plan)


def make_plan(
    config: Config,
    data: FaceSet,
    *,
    limit: int | None,
    device: str,
    trust_code: bool = False,
    progress: Progress,
    describe: bool = True,
) -> Plan:
    """Everything a run needs; recognisers without a checkpoint are trained unless they were before.

    Args:
        config: what to compute.
        data: the people.
        limit: attack only the first so many test images.
        device: "cpu" or "cuda".
        trust_code: whether recognisers may be code of others.
        progress: called with the steps of the training.
        describe: also find out what run.json says of recognisers and machine.

    Raises:
        CheckpointError: a checkpoint cannot be read or knows other people.
        ConfigError: a recogniser that knows nobody by name.
    """
    check_people(config, data)
    return Plan(
        config={**config.resolved(), "limit": limit, "device": device},
        data=data,
        subjects=tuple(_subject(part, data, device, progress, describe, trust_code) for part in config.recognizers),
        entries=config.entries,
        seeds=config.seeds,
        batch_size=config.batch_size,
        limit=limit,
        example_eps=config.example_eps,
        crosscheck_images=config.crosscheck,
        environment=describe_environment() if describe else {},
        minimum=config.minimum,
        device=device,
        same_config=partial(config.means, limit=limit, device=device),
    )


def check_people(config: Config, data: FaceSet) -> None:
    """Raises ConfigError for an attack that cannot run on so few people, before anything is trained."""
    people = len(data.classes)
    for entry in config.entries:
        least = getattr(entry.attack, "least_people", 2)
        if people < least:
            raise ConfigError(
                f"attack {entry.name!r} needs at least {least} people, the data has {people}: leave it out, or add people"
            )


def _named(config: RecognizerConfig, data: FaceSet, device: str, trust_code: bool) -> tuple[Any, dict[str, Any]]:
    """A classifier by its source, with the data's people as its first classes, and what run.json says of it."""
    recognizer = load_recognizer(str(expand(config.source)), trust_code=trust_code)
    if recognizer.classifier is None:
        raise ConfigError(
            f"[[recognizers]] {config.name}: {config.source} knows nobody by name, which is measured here; recognisers of"
            " strangers are measured by faceenc-bench run verification --recognizer"
        )
    model = matched_classes(recognizer.classifier, data, config.source).to(device)
    return model, {"network": recognizer.network, "licence": recognizer.licence, "train": dict(recognizer.record)}


def _subject(
    config: RecognizerConfig, data: FaceSet, device: str, progress: Progress, describe: bool, trust_code: bool
) -> Subject:
    facts: dict[str, Any] = {}
    if config.source:
        model, facts = _named(config, data, device, trust_code)
    elif config.checkpoint:
        path = expand(config.checkpoint)
        recognizer = load_recognizer(str(path), trust_code=trust_code)
        if recognizer.classifier is None:
            raise ConfigError(
                f"[[recognizers]] {config.name}: {path} knows nobody by name, which is measured here; recognisers"
                " of strangers are measured by faceenc-bench run verification --recognizer"
            )
        model, facts = recognizer.classifier, {"train": dict(recognizer.record)}
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
        if isinstance(model, ForeignClassifier) and model.input_size != data.images.shape[1]:
            raise CheckpointError(
                f"{path} takes pictures of {model.input_size} pixels, the data has them of {data.images.shape[1]}: set"
                f" size = {model.input_size} in [data]"
            )
        model.to(device)
        facts |= {"network": recognizer.network, "licence": recognizer.licence}
    else:
        folder = cache_dir() / "recognizers"
        model, path = trained(data, config.training, folder=folder, device=device, progress=progress)
        facts = {"train": load_checkpoint(path)[1]}
    defended = Transformed(model, defence(config.defence)).eval() if config.defence else model
    known: dict[str, Any] = {}
    if describe:
        known = {"sha256": facts.pop("network", "") or weights_sha256(model), **facts}
        known |= {"clean_accuracy": accuracy(defended, data, data.test)}
        known |= {"defence": config.defence, "aware": config.aware} if config.defence else {}
    return Subject(config.name, defended, known, None if config.aware else (f"{config.name}, bare", model))
