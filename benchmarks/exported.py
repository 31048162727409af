"""A checkpoint exported to ONNX by torch's exporter and read back: the same predictions, and the same accuracies under PGD?

    python benchmarks/exported.py CHECKPOINT.safetensors [--images 120]

CHECKPOINT is one of the ORL faces, such as the demo's, which lies in the folder `recognizers` of the cache.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from faceenc.attacks import PGD, run_attack
from faceenc.core import Model
from faceenc.data import load_orl
from faceenc.media import to_tensor
from faceenc.recognizers import load_checkpoint, load_recognizer

BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--images", type=int, default=120)
    words = parser.parse_args()
    net, _ = load_checkpoint(words.checkpoint)
    data = load_orl(net.input_size)
    rows = data.test[: words.images]
    x, labels = to_tensor(data.images[rows]), torch.from_numpy(data.labels[rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        dims = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(net, (x[:2],), path, dynamo=True, dynamic_shapes=dims, verbose=False)
        (path.parent / "people.txt").write_text("\n".join(net.classes), encoding="utf-8")
        path.with_suffix(".toml").write_text('framing = "square"\nclasses = "people.txt"\n', encoding="utf-8")
        read = load_recognizer(f"onnx:{path}").classifier
        assert read is not None
        ours, theirs = (predictions(one, x) for one in (net, read))
        print(f"{len(x)} photos, the same predictions for {int((ours == theirs).sum())}")
        for levels in (1, 2, 4):
            found = [accuracy(one, x, labels, levels / 255) for one in (net, read)]
            apart = 100 * abs(found[0] - found[1])
            print(f"PGD {levels}/255: checkpoint {found[0]:.1%}, ONNX {found[1]:.1%}, apart {apart:.1f} points")


@torch.no_grad()
def predictions(net: Model, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([net(part).argmax(1) for part in x.split(BATCH)])


def accuracy(net: Model, x: torch.Tensor, labels: torch.Tensor, eps: float) -> float:
    """Still recognised under PGD of ten steps, in [0, 1]."""
    parts = zip(x.split(BATCH), labels.split(BATCH), strict=True)
    reached = [run_attack(PGD(steps=10), net, part, label, eps=eps).reached for part, label in parts]
    return 1 - float(torch.cat(reached).float().mean())


if __name__ == "__main__":
    main()
