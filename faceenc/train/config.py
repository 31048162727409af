"""Configurations of trainings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceenc.core import ConfigError, build, folder_name, read_toml
from faceenc.data import DataConfig
from faceenc.train.recipe import Training


@dataclass(frozen=True)
class TrainConfig:
    """A training: `name` of its folder, the people, and how."""

    name: str
    data: DataConfig
    training: Training


def read_train_config(path: Path) -> TrainConfig:
    """Read and check the configuration of a training.

    Raises:
        ConfigError: as of `read_config`.
    """

    def make(table: dict[str, Any]) -> TrainConfig:
        if "attacks" in table:
            raise ConfigError("this is a benchmark's configuration: run it with faceenc-bench run")
        config = build(TrainConfig, {"name": path.stem, "data": {}, "training": {}} | table, "the top level")
        folder_name(config.name)
        return config

    return read_toml(path, make)
