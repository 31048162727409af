"""How fast are gradients of common nets by the fast engines, next to plain eager autograd? Ratios of interleaved rounds."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from typing import Any, cast

import click
import torch
from torch import nn

from faceenc.attacks import Dodge, Exact, FusedResNet, Relaid, Traced
from faceenc.cli import print_table, set_up_logging
from faceenc.core import GradientEngine, has_bfloat16

PEOPLE = 40


class Residual(nn.Module):
    """A block of an IResNet (https://arxiv.org/abs/2004.04989)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, out, 3, 1, 1, bias=False)
        self.second, self.bend = nn.BatchNorm2d(out), nn.PReLU(out)
        self.conv2, self.third = nn.Conv2d(out, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.down: nn.Module = nn.Identity()
        if stride > 1:
            self.down = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.down(x) + self.third(self.conv2(self.bend(self.second(self.conv1(self.first(x))))))
        return answer


def iresnet18() -> nn.Module:
    """The net of ArcFace, in its smallest form, as an embedder."""
    blocks = [Residual(*shape) for c in (64, 128, 256, 512) for shape in ((max(64, c // 2), c, 2), (c, c, 1))]
    stem = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)]
    head = [nn.BatchNorm2d(512), nn.Dropout(0.4), nn.Flatten(), nn.Linear(512 * 49, 512), nn.BatchNorm1d(512)]
    return nn.Sequential(*stem, *blocks, *head)


def mobilefacenet() -> nn.Module:
    """As frbench has it (`pip install '.[frbench]'`), with its weights left random."""
    from frbench.backbones import build_backbone

    net: nn.Module = build_backbone("mobilefacenet", {}, torch.device("cpu"))
    return net


def of_torchvision(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import torchvision

        net: nn.Module = getattr(torchvision.models, name)(num_classes=PEOPLE)
        return net

    return make


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "mobilefacenet": (mobilefacenet, 112),
    "iresnet18": (iresnet18, 112),
    **{
        name: (of_torchvision(name), 224)
        for name in ("mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "resnet18", "resnet50")
    },
}


def settled(make: Callable[[], nn.Module], side: int) -> nn.Module:
    """Random weights, with batch norms that have seen pictures, so that signals neither die nor explode."""
    torch.manual_seed(0)
    net = make()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = None
    with torch.no_grad():
        net.train()(torch.rand(4, 3, side, side))
    return net.eval()


def engines_of(net: nn.Module) -> dict[str, GradientEngine]:
    found: dict[str, GradientEngine] = {"exact": Exact(net), "channels last": Relaid(net, torch.float32)}
    found["traced"] = Traced(net, torch.float32)
    if has_bfloat16("cpu"):
        found |= {"channels last, bf16": Relaid(net, torch.bfloat16), "traced, bf16": Traced(net, torch.bfloat16)}
    with contextlib.suppress(AttributeError, TypeError):  # no ResNet of basic blocks
        mean, std = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
        found["plan of a ResNet"] = FusedResNet(cast(Any, net), mean, std, dtype=torch.float32)
    return found


def measure(engines: dict[str, GradientEngine], x: torch.Tensor, goal: Dodge, rounds: int) -> dict[str, list[float]]:
    """Seconds of each in each round, after an uncounted one; the order rotates."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    names = list(engines)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            engines[name](x, goal)
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


@click.command()
@click.option("--net", "nets", multiple=True, type=click.Choice(list(NETS)), help="Repeatable; all if left out.")
@click.option("--images", default=16, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(nets: tuple[str, ...], images: int, rounds: int, threads: int) -> None:
    set_up_logging()
    torch.set_num_threads(threads)
    rows = []
    for name in nets or NETS:
        make, side = NETS[name]
        net = settled(make, side)
        x = torch.rand(images, 3, side, side, generator=torch.Generator().manual_seed(1))
        engines = engines_of(net)
        goal = Dodge(torch.arange(images) % PEOPLE)
        exact = engines["exact"](x, goal).gradient
        off = {key: float((one(x, goal).gradient - exact).norm() / exact.norm()) for key, one in engines.items()}
        seconds = measure(engines, x, goal, rounds)
        for key, times in seconds.items():
            ratios = [base / time for base, time in zip(seconds["exact"], times, strict=True)]
            rows.append(
                {
                    **{"net": name, "px": side, "engine": key, "ms an image": 1000 * statistics.median(times) / images},
                    **{"exact's time over it": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)},
                    "gradient off by": off[key],
                }
            )

    import pandas as pd

    print_table(pd.DataFrame(rows), title=f"{images} images, {threads} threads, {rounds} rounds")


if __name__ == "__main__":
    main()
