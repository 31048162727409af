"""Flags: signs, in the results themselves, that an evaluation flatters the recogniser or is broken.

After AutoAttack's checks and Carlini et al., "On evaluating adversarial robustness" (2019). `CHECKS` states for each what it
examines, what a hit may mean and what to do; its function in `checks` or `blackbox` says where the line is drawn and why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from faceenc.report.flags import blackbox, checks

# None: the run holds nothing that this check could examine.
_Hits = Callable[[checks.RunResults], list[checks.Hit] | None]


@dataclass(frozen=True, slots=True)
class Flag:
    """One doubt about a run. `eps` is None where the doubt is not about one noise size."""

    flag: str
    recognizer: str
    attack: str
    norm: str
    goal: str
    eps: float | None
    saw: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Check:
    """What is examined, what a hit may mean, what to do, and the function that finds the hits."""

    flag: str
    examines: str
    meaning: str
    remedy: str
    hits: _Hits


def raised(catalogue: Sequence[Check], results: checks.RunResults) -> dict[str, list[Flag] | None]:
    """Flags of these checks, as of `survey`."""
    found = {one: one.hits(results) for one in catalogue}
    return {one.flag: None if hits is None else [_flag(one, hit) for hit in hits] for one, hits in found.items()}


def _flag(one: Check, hit: checks.Hit) -> Flag:
    where = hit.where
    recognizer, judge = str(where.get("recognizer", "")), str(where.get("judge", ""))
    eps = where.get("eps")
    return Flag(
        flag=one.flag,
        recognizer=f"{recognizer} (judge {judge})" if judge and judge != recognizer else recognizer,
        attack=str(where.get("attack", "")),
        norm=str(where.get("norm", "")),
        goal=str(where.get("goal", "")),
        eps=None if eps is None else float(eps),
        saw=hit.saw,
        meaning=one.meaning,
        remedy=one.remedy,
    )


CHECKS = (
    Check(
        "accuracy-not-monotone",
        "accuracy never rises with eps",
        "a larger ball holds the smaller one, so the attack does not use the room it has: its step does not follow eps, it"
        " starts badly, or gradients are masked",
        "let the step follow eps, add steps and restarts; trust the lowest accuracy at any smaller eps",
        checks.not_monotone,
    ),
    Check(
        "clean-mismatch",
        "at eps = 0 every prediction is the clean one",
        "the attack path changes the image or the recogniser is not deterministic (dropout, batch norm in training mode)",
        "put the recogniser into evaluation mode and compare the untouched image with the one the attack hands back",
        checks.clean_mismatch,
    ),
    Check(
        "huge-eps-above-chance",
        "accuracy at the huge eps reaches chance",
        "an image may be replaced almost wholly at this eps, so the attack fails for its own reasons: masked gradients or"
        " too short steps",
        "examine the gradients, add steps and restarts, try an attack without gradients; do not report robustness before",
        checks.above_chance,
    ),
    Check(
        "noise-beats-attack",
        "no attack is weaker than random noise of the same size",
        "the gradient leads nowhere (masked, zero, of the wrong sign) or the attack is set up wrongly",
        "check the goal's sign, the step and the gradient engine",
        checks.noise_beats_attack,
    ),
    Check(
        "single-step-beats-iterative",
        "many steps reach the goal at least as often as one",
        "the iterative attack is stuck (step too long or too short) or gradients are masked",
        "change the relative step, add steps and restarts; report the stronger result",
        checks.single_step_beats,
    ),
    Check(
        "more-steps-help",
        "twice the steps change nothing that matters",
        "the attack has not converged: the accuracy reported is too high",
        "raise the number of steps until doubling it changes nothing",
        checks.more_steps_help,
    ),
    Check(
        "black-box-beats-white-box",
        "no attack that only asks reaches more than the best one with gradients",
        "gradients are masked (an operation without a gradient, saturated outputs, randomness) or the attack with gradients"
        " is set up wrongly: the accuracy it leaves is no robustness",
        "report the black-box result; find what masks the gradient and attack through it or around it, with more steps"
        " and restarts",
        blackbox.black_box_beats_white_box,
    ),
    Check(
        "more-queries-do-not-help",
        "a larger budget of queries fools more images, while any stand",
        "the search leads nowhere: answers are random or flat, the budget is too small for this attack to reach the ball at"
        " all, or the attack is set up wrongly; the accuracy it leaves says nothing",
        "raise the budget until success rises with it, or let another attack speak for black boxes",
        blackbox.more_queries_do_not_help,
    ),
    Check(
        "implementations-disagree",
        "the in-house attacks and ART's give the same accuracy, and the cross-check stays within rounding",
        "one implementation has a fault, or the two run with different steps, starts or labels",
        "run faceenc-bench crosscheck with the exact engine, which must equal ART to 1e-6, and find the first step that"
        " differs",
        checks.disagree,
    ),
    Check(
        "zero-gradients",
        "no image has a gradient of zero",
        "saturated outputs or an operation that stops the gradient; attacks by gradient then see nothing",
        "attack the logits before the softmax, search for rounding or thresholds in the recogniser",
        checks.zero_gradients,
    ),
    Check(
        "outputs-are-probabilities",
        "the recogniser answers with logits",
        "a softmax inside the recogniser flattens the loss, so that attacks appear weaker than they are",
        "wrap the recogniser so that it returns what goes into the softmax",
        checks.probabilities,
    ),
    Check(
        "budget-exceeded",
        "every proposal and every judged image stays within eps",
        "the attack measures its noise differently (scale, normalisation, order of clipping); an attack cut back by the"
        " harness is weaker than it was meant",
        "correct the attack's projection and its value range",
        checks.budget_exceeded,
    ),
    Check(
        "not-finite",
        "every number measured is finite",
        "an overflow in the recogniser or its loss; the sign of nan is 0, so the attack stands still there",
        "run these images in float32 and find the first layer that overflows",
        checks.not_finite,
    ),
)
