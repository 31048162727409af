"""Which flags a run's rows raise, by its task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from faceenc.report import tables
from faceenc.report.flags.catalogue import CHECKS, Check, Flag, raised
from faceenc.report.flags.checks import RunResults
from faceenc.report.flags.transfer import TRANSFER_CHECKS
from faceenc.report.words import is_verification

_OF_PAIRS = ("gradients-masked", "threshold-fitted-on-test")


def survey(
    rows: pd.DataFrame, run: Mapping[str, Any], crosscheck: pd.DataFrame | None = None
) -> dict[str, list[Flag] | None]:
    """Flags by the name of their check; None for a check that found nothing to examine."""
    return raised(checks_of(run), RunResults(rows, tables.summarize(rows), run, crosscheck))


def checks_of(run: Mapping[str, Any]) -> Sequence[Check]:
    """The checks of a run's task: of pairs also those on gradients and thresholds that a measurement of transfer makes."""
    if not is_verification(run):
        return CHECKS
    return (*CHECKS, *(check for check in TRANSFER_CHECKS if check.flag in _OF_PAIRS))
