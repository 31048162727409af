"""How a recogniser is trained: the settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from faceenc.core import ConfigError, check_ranges


@dataclass(frozen=True)
class Stage:
    """A stretch of training at one image size: cheap small images first, the recogniser's own size at the end.

    Attributes:
        size: side of the training images in pixels.
        epochs: passes over the training images.
        learning_rate: peak of the one-cycle schedule.
        crop: training images show random parts, down to this share of the side. A stage at a lower size than the last one
            wants it: faces are then as large as they will be (FixRes, https://arxiv.org/abs/1906.06423).
        centre: only the middle of each crop is shown, this share of its side: another way to the same end.
    """

    size: int
    epochs: int
    learning_rate: float
    crop: float = 1.0
    centre: float = 1.0

    def __post_init__(self) -> None:
        check_ranges(self, "[training] stages")


@dataclass(frozen=True)
class Training:
    """How a recogniser is trained; the defaults are the student report's 25 epochs at 224 pixels.

    Attributes:
        init: "imagenet" (torchvision's weights, random ones with a warning where they cannot be fetched), "random", "dlib"
            (dlib's face net transplanted, its embeddings imitated; aligned crops of 224 pixels only), or a file: a faceenc
            checkpoint or torchvision's ResNet-18, whose last layer is left out unless it knows the same people.
        stages: run one after the other, each with its own AdamW and one-cycle schedule.
        batch_size: images a step.
        least_steps: an epoch has at least so many steps; few images are shown more than once in it.
        weight_decay: AdamW's.
        label_smoothing: of the cross-entropy.
        degrees: augmentation: rotation within +-degrees.
        zoom: augmentation: scale within 1 +- zoom.
        noise: augmentation: Gaussian noise whose standard deviation is uniform in [0, noise], pixels in [0, 1].
        jitter: augmentation: brightness, contrast and saturation within 1 +- jitter.
        validation: share of each person's training images that are held out to choose the best epoch and the threshold for
            unknown faces; 0 trains on all and takes the last epoch.
        patience: a stage ends when the validation accuracy has not risen for so many epochs; 0 runs them all.
        distill: with "dlib", weight of the imitation's loss beside the cross-entropy.
        unlabelled: with "dlib", share of each batch that comes from the unlabelled faces, if there are any.
        seed: of the initial weights, the order of the images and the augmentation.
        adversarial: the named images of each batch are attacked first, by noise of at most this size (Linf, a share of the
            pixel range; Madry et al., https://arxiv.org/abs/1706.06083); 0 trains on clean images.
        adversarial_steps: of that attack, PGD from a random start.
    """

    init: str = "imagenet"
    stages: tuple[Stage, ...] = field(default=(Stage(224, 25, 1e-3),))
    batch_size: int = 28
    least_steps: int = 0
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    degrees: float = 30.0
    zoom: float = 0.1
    noise: float = 0.0
    jitter: float = 0.0
    validation: float = 0.0
    patience: int = 0
    distill: float = 4.0
    unlabelled: float = 0.6
    seed: int = 0
    adversarial: float = 0.0
    adversarial_steps: int = 3

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigError("[training] stages is empty: expected at least one stage")
        check_ranges(self, "[training]")

    def record(self) -> dict[str, Any]:
        """As JSON-like settings; without adversarial training just what releases before it wrote."""
        settings = asdict(self)
        if not self.adversarial:
            del settings["adversarial"], settings["adversarial_steps"]
        return settings
