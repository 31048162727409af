"""The recogniser of the student report: torchvision's ResNet-18 over N identities, normalisation inside `forward`."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import ResNet18_Weights, resnet18

from faceenc.faces import Framing

log = logging.getLogger(__name__)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class FaceResNet(nn.Module):
    """Closed-set face recogniser.

    Shape
        (N, 3, H, W) float32 RGB in [0, 1] -> (N, K) logits. Any H, W from 32 up; `input_size` is what it was trained for.

    Attributes:
        classes: the K identities, in the order of the logits.
        input_size: side of the square crops it expects, in pixels.
        framing: how those crops are cut out of a photo (`faceenc.faces.frame_face`).
        threshold: a face whose highest probability lies below is nobody it knows; 0 calls nobody unknown.
        network: torchvision's ResNet-18 (He et al., https://arxiv.org/abs/1512.03385), fed with normalised images.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, classes: tuple[str, ...], input_size: int = 224, framing: Framing = "square") -> None:
        super().__init__()
        self.classes = classes
        self.input_size = input_size
        self.framing = framing
        self.threshold = 0.0
        self.network = resnet18(weights=None, num_classes=len(classes))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network((x - self.mean) / self.std)
        return logits


def load_imagenet(model: FaceResNet) -> bool:
    """Copy ImageNet weights into all layers but the head.

    Returns:
        Whether torchvision could fetch them; if not, the weights stay random and a warning says so.
    """
    try:
        state = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # torchvision lets urllib's, ssl's and hash errors through alike
        log.warning("ImageNet weights cannot be fetched (%s): training starts from random weights", error)
        return False
    head = {name: value for name, value in model.network.state_dict().items() if name.startswith("fc.")}
    model.network.load_state_dict({**state, **head})
    return True


@contextmanager
def features_of(model: FaceResNet) -> Iterator[list[torch.Tensor]]:
    """Within the block, each call of the model leaves its pooled features (N, 512) in the list, and only them."""
    latest: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        latest[:] = [inputs[0]]

    hook = model.network.fc.register_forward_pre_hook(keep)
    try:
        yield latest
    finally:
        hook.remove()


class PooledFeatures(nn.Module):
    """The 512 features under a recogniser's last layer, of length 1: for people it was not trained on.

    Shape
        (N, 3, H, W) in [0, 1] -> (N, 512).
    """

    def __init__(self, recognizer: FaceResNet) -> None:
        super().__init__()
        # Copies of the outer shells, for the recogniser keeps its last layer; the weights are the same tensors.
        self.recognizer, network = copy.copy(recognizer), copy.copy(recognizer.network)
        network._modules = {**network._modules, "fc": nn.Identity()}
        self.recognizer._modules = {"network": network}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.recognizer(x.contiguous(memory_format=torch.channels_last)), dim=1)
