"""How noise transfers from a recogniser to another one and to dlib's net: part by part, with controls.

    python benchmarks/transfer.py A.safetensors B.safetensors --data FOLDER --output reports/transfer

A and B are two ResNet-18 that `faceenc train` wrote, trained apart; FOLDER holds people, a sub-folder each. Noise is made on
A and on dlib's net, at 8/255 and 16/255, and judged by all three, as it is (8 bits) and as JPEG of quality 75: plain PGD,
momentum, input diversity, the whole transfer attack with each goal and (at the first eps) without each of its parts, and as
controls random signs and the noise of another image. --surrogates dlib+resnet-a makes noise on both together.

The folder gets rows.csv, summary.csv, verification.csv, matrix.png and report.md; a killed run goes on with --resume.
"""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from faceenc.benchmark import RunFolder, TransferMeasurement, make_transfer_plan, run_benchmark, transfer_config
from faceenc.core import FaceencError
from faceenc.data import load_data
from faceenc.report import render

# The whole attack with one part off.
WITHOUT: dict[str, dict[str, Any]] = {
    "momentum": {"momentum": 0.0},
    "views": {"views": 1},
    "blur": {"blur": 0.0},
    "jitter": {"jitter": 0.0},
    "flip": {"flip": 0.0},
    "coarsest": {"coarsest": 1.0},
    "colour": {"colour": 0.0},
    "dimmest": {"dimmest": 1.0},
}


def configuration(args: argparse.Namespace) -> dict[str, Any]:
    """The measurement as a configuration's table."""
    whole = {"steps": args.steps, "views": args.views}
    attacks: list[dict[str, Any]] = [
        {"name": "noise"},
        {"name": "pgd", "engine": "exact", "goals": ["away", "impersonate"]},
        {"name": "mi-fgsm"},
        {"name": "di-mi-fgsm"},
        {"name": "transfer", "goals": ["contrast", "away", "impersonate"], **whole},
    ]
    for part, off in WITHOUT.items():
        name = f"transfer without {part}"
        attacks.append({"name": name, "attack": "transfer", "goals": ["contrast"], "eps": args.eps[:1], **whole, **off})
    names = {"dlib": "dlib", "resnet-a": str(args.a), "resnet-b": str(args.b)}
    return {
        "name": "transfer",
        "eps": args.eps,
        "pairs": args.pairs,
        "far": 0.01,
        "surrogates": args.surrogates,
        "variants": ["jpeg75"],
        "borrowed": "transfer",
        "data": {"source": str(args.data)},
        "recognizers": [{"name": name, "source": source} for name, source in names.items()],
        "attacks": attacks,
    }


def report(what: str, done: int, total: int) -> None:
    """A line a cell, so that a log shows how far it is."""
    if what == "cells":
        logging.getLogger("faceenc").info("%d of %d cells", done, total)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path, help="checkpoint of the ResNet-18 that noise is made on")
    parser.add_argument("b", type=Path, help="checkpoint of the independently trained one, which only judges")
    parser.add_argument("--data", type=Path, required=True, help="people, one sub-folder each")
    parser.add_argument("--output", type=Path, default=Path("reports/transfer"))
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--eps", nargs="+", default=["8/255", "16/255"])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--surrogates", nargs="+", default=["dlib", "resnet-a"], help="what noise is made on, joined by +")
    parser.add_argument("--lfw-pairs", type=Path, help="LFW's pairs file, where FOLDER holds LFW")
    parser.add_argument("--threads", type=int, help="torch's; default: all")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        config = transfer_config(configuration(args))
        data = load_data(config.data, progress=report)
        plan = replace(make_transfer_plan(config, data, limit=None, progress=report), lfw_pairs=args.lfw_pairs)
        names = [word if word.startswith("-") else Path(word).name for word in sys.argv[1:]]
        command = shlex.join(["python", "benchmarks/transfer.py", *names])
        folder = RunFolder(args.output, resume=args.resume)
        with folder.held():
            run_benchmark(TransferMeasurement(plan, report), folder, command=command, progress=report)
            logging.info("report: %s", render(args.output))
    except FaceencError as error:
        logging.error("error: %s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
