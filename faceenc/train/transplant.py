"""A ResNet-18 that starts from dlib's face net: transfer learning where ImageNet weights cannot be had.

dlib's blocks have the shape of ResNet-18's BasicBlocks and half their width, so two of them fit side by side into one. In
sequence they would read each other's results; side by side they read the same input: an approximation that training repairs.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from faceenc.recognizers import MEANS, DlibNet, FaceResNet

# Which of dlib's 14 blocks go into each BasicBlock; 6 and 13 find no place.
_PLAN = {
    "layer1.0": (0,),
    "layer1.1": (1, 2),
    "layer2.0": (3,),
    "layer2.1": (4, 5),
    "layer3.0": (7,),
    "layer3.1": (8, 9),
    "layer4.0": (10,),
    "layer4.1": (11, 12),
}
_UNUSED_GAIN = 0.1  # batch-norm gain of channels that dlib's blocks leave free
_RIDGE = 1e-2  # relative to the features' mean variance
_LOGIT_SCALE = 8.0


@torch.no_grad()
def transplant_weights(model: FaceResNet, net: DlibNet, x: torch.Tensor) -> None:
    """Put the face net's weights into `model`; its classifier stays as it is.

    Args:
        model: keeps its own random weights in the channels that dlib's blocks leave free.
        net: dlib's face net.
        x: (N, 3, 224, 224) aligned crops of real faces, some 64 or more: they set the batch norms' statistics.
    """
    resnet = model.network
    # The net's input, (255 x - MEANS) / 256, in terms of the recogniser's normalised one: a scale and a constant.
    scale = 255 / 256 * model.std.view(1, 3, 1, 1)
    constant = (255 * model.mean.view(3) - torch.tensor(MEANS)) / 256
    shift = (net.stem.weight * constant.view(1, 3, 1, 1)).sum((1, 2, 3))
    biases = {resnet.bn1: _place(resnet.conv1, [net.stem.weight * scale], [cast(torch.Tensor, net.stem.bias) + shift])}
    for name, indices in _PLAN.items():
        block = cast(Any, resnet.get_submodule(name))
        sources = [cast(Any, net.blocks[index]) for index in indices]
        biases[block.bn1] = _place(block.conv1, [s.first.weight for s in sources], [s.first.bias for s in sources])
        biases[block.bn2] = _place(
            block.conv2, [s.second.weight for s in sources], [s.second.bias for s in sources], summed=True
        )
        if block.downsample is not None:
            identity = torch.eye(sources[0].first.in_channels)[:, :, None, None]
            biases[block.downsample[1]] = _place(block.downsample[0], [identity], [torch.zeros(len(identity))])
    _calibrate(model, biases, x)


def _place(
    convolution: nn.Conv2d, weights: list[torch.Tensor], biases: list[torch.Tensor], *, summed: bool = False
) -> tuple[float, torch.Tensor]:
    """Copy `weights` into the first channels: outputs side by side; or summed, with inputs side by side.

    Returns:
        The factor they were enlarged by to the usual standard deviation of a fresh layer, and the biases of these channels.
    """
    target = convolution.weight
    joined = torch.cat(weights, 1 if summed else 0)
    factor = float(target.std() / joined.std())
    outputs, inputs = joined.shape[:2]
    target[:outputs] = 0
    target[:outputs, :inputs] = joined * factor
    return factor, torch.stack(biases).sum(0) if summed else torch.cat(biases)


def _calibrate(model: FaceResNet, biases: dict[nn.Module, tuple[float, torch.Tensor]], x: torch.Tensor) -> None:
    """Set each batch norm from what reaches it, so that it undoes its convolution's factor and adds the bias."""

    def set_up(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        factor, bias = biases[norm]
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
        cast(torch.Tensor, norm.running_mean).copy_(mean)
        cast(torch.Tensor, norm.running_var).copy_(variance)
        used = len(bias)
        norm.weight[:used] = (variance[:used] + norm.eps).sqrt() / factor
        norm.bias[:used] = mean[:used] / factor + bias
        norm.weight[used:] = _UNUSED_GAIN * norm.weight[:used].mean()
        norm.bias[used:] = 0

    hooks = [norm.register_forward_pre_hook(set_up) for norm in biases]
    model.eval()
    model(x)
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def embedding_head(features: torch.Tensor, embeddings: torch.Tensor) -> nn.Linear:
    """The ridge regression from (N, 512) pooled features to the teacher's (N, 128) unit embeddings, as a layer."""
    mean, target = features.mean(0), embeddings.mean(0)
    centred = (features - mean).double()
    gram = centred.T @ centred
    gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    solution = torch.linalg.solve(gram, centred.T @ (embeddings - target).double()).float()  # (512, 128)
    head = nn.Linear(*solution.shape)
    head.weight.copy_(solution.T)
    head.bias.copy_(target - mean @ solution)
    return head


@torch.no_grad()
def start_classifier(model: FaceResNet, head: nn.Linear, centres: torch.Tensor) -> None:
    """Let the logits start as scaled products of the head's embedding and each person's own.

    Args:
        model: its last layer is set.
        head: from pooled features (N, 512) to embeddings (N, 128).
        centres: (K, 128) unit embeddings of the people.
    """
    model.network.fc.weight.copy_(_LOGIT_SCALE * centres @ head.weight)
    model.network.fc.bias.copy_(_LOGIT_SCALE * centres @ head.bias)
