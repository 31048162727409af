"""Goals: losses against torch's cross-entropy, and the margin of `reached`."""

from __future__ import annotations

import pytest
import torch

from faceenc.attacks import Dodge, Impersonate
from faceenc.core import Goal

LOGITS = torch.tensor([[3.0, 1.0, 0.0], [0.0, 1.0, 3.5]])


def test_losses_are_opposite_cross_entropies() -> None:
    labels = torch.tensor([0, 1])
    expected = torch.logsumexp(LOGITS, 1) - LOGITS[[0, 1], labels]
    torch.testing.assert_close(Dodge(labels).loss(LOGITS), expected)
    torch.testing.assert_close(Impersonate(labels).loss(LOGITS), -expected)


@pytest.mark.parametrize(
    ("goal", "margin", "expected"),
    [
        (Dodge(torch.tensor([0, 1])), 0.0, [False, True]),
        (Dodge(torch.tensor([0, 1])), 2.4, [False, True]),
        (Dodge(torch.tensor([0, 1])), 2.5, [False, False]),
        (Impersonate(torch.tensor([0, 1])), 0.0, [True, False]),
        (Impersonate(torch.tensor([0, 2])), 2.2, [False, True]),
    ],
)
def test_reached_asks_for_more_than_the_margin(goal: Goal, margin: float, expected: list[bool]) -> None:
    assert goal.reached(LOGITS, margin).tolist() == expected


@pytest.mark.parametrize("goal", [Dodge(torch.tensor([0, 1])), Impersonate(torch.tensor([0, 1]))], ids=["dodge", "target"])
def test_select_keeps_rows_together(goal: Goal) -> None:
    for rows in (torch.tensor([1]), torch.tensor([False, True])):
        assert torch.equal(goal.select(rows).loss(LOGITS[1:]), goal.loss(LOGITS)[1:])
