"""From a configuration to the objects of a run: faces loaded, recognisers trained or read, the machine described."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from faceenc.benchmark.classes import matched_classes
from faceenc.benchmark.classification import Classification
from faceenc.benchmark.config import Config, RecognizerConfig
from faceenc.benchmark.plan import Plan, Subject
from faceenc.benchmark.runner import silent
from faceenc.benchmark.sources import check_gradients, following_gradients
from faceenc.core import ConfigError, Progress, cache_dir, describe_environment
from faceenc.data import FaceSet, expand, load_data
from faceenc.recognizers import (
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
        ConfigError: a recogniser that knows nobody by name, or an attack by gradients on one that gives none.
    """
    check_people(config, data)
    follow = following_gradients(config.entries, config.minimum)
    return Plan(
        config={**config.resolved(), "limit": limit, "device": device},
        data=data,
        subjects=tuple(_subject(part, data, device, progress, describe, trust_code, follow) for part in config.recognizers),
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


def _named(
    config: RecognizerConfig, data: FaceSet, device: str, trust_code: bool, follow: Sequence[str]
) -> tuple[Any, dict[str, Any]]:
    """A classifier by its source, with the data's people as its first classes, and what run.json says of it."""
    recognizer = load_recognizer(str(expand(config.source)), trust_code=trust_code)
    check_gradients(config.name, recognizer, follow)
    if recognizer.classifier is None:
        raise ConfigError(
            f"[[recognizers]] {config.name}: {config.source} knows nobody by name, which is measured here; recognisers of"
            " strangers are measured by faceenc-bench run verification --recognizer"
        )
    model = matched_classes(recognizer.classifier, data, config.source).to(device)
    return model, {"network": recognizer.network, "licence": recognizer.licence, "train": dict(recognizer.record)}


def _subject(
    config: RecognizerConfig,
    data: FaceSet,
    device: str,
    progress: Progress,
    describe: bool,
    trust_code: bool,
    follow: Sequence[str],
) -> Subject:
    if config.source:
        model, facts = _named(config, data, device, trust_code, follow)
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
