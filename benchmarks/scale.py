"""What a Ray cluster adds to the work, measured on this machine; and how far it would carry, simulated.

    OMP_NUM_THREADS=1 python benchmarks/scale.py [--tiny 20000] [--cells 12] [--seconds 5] [--json FILE]

Measured: `--tiny` items that do nothing (the driver's seconds an item, its memory), and one worker against two on `--cells`
items of about `--seconds` seconds each, gradients of a ResNet-18 (a ratio within one run; two workers need two idle cores).
Simulated, from these: 10,000 cells and 100,000 photos on 1, 8, 64 and 1,024 nodes of two workers. An item takes its time,
5 % of them three times as long; a node is lost in a thousand hours, its items are done anew; the driver serves one item
after the other; a cell's rows pass its network, a photo there and back that of the shared folder, at 1 Gbit/s.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import torch

from faceenc.runs import OnRay

_NODES, _WORKERS = (1, 8, 64, 1024), 2
_SLOW, _SLOWER = 0.05, 3.0
_HOURS = 1000.0  # between losses of one node
_NETWORK = 1e9 / 8  # bytes a second
# Of each kind of work: items, and bytes an item that pass the one network all share.
_WORK = {"cells": (10_000, 40_000), "photos": (100_000, 6_000_000)}


def nothing(state: object, item: int) -> int:
    return item


def gradients(state: tuple[torch.nn.Module, torch.Tensor], passes: int) -> float:
    """Seconds that so many passes took, forwards and backwards."""
    net, x = state
    began = time.perf_counter()
    for _ in range(passes):
        net(x.clone().requires_grad_(True)).sum().backward()
    return time.perf_counter() - began


def resnet() -> tuple[torch.nn.Module, torch.Tensor]:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    return resnet18(num_classes=40).eval().requires_grad_(False), torch.rand(4, 3, 112, 112)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", type=int, default=20_000)
    parser.add_argument("--cells", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    passes = max(1, round(10 * args.seconds / gradients(resnet(), 10)))
    found: dict[str, Any] = {"tiny": tiny(args.tiny), "workers": speed_up(args.cells, passes)}
    print(json.dumps(found, indent=1))
    overhead = found["tiny"]["driver seconds an item"]
    found["simulated"] = [
        simulated(kind, nodes, seconds=args.seconds, overhead=overhead) for kind in _WORK for nodes in _NODES
    ]
    for row in found["simulated"]:
        print(row)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def tiny(count: int) -> dict[str, Any]:
    """Items that do nothing: what is left is the driver's and Ray's own."""
    began, used, memory = time.perf_counter(), time.process_time(), []
    for done, _ in enumerate(OnRay(workers=2).run(nothing, range(count))):
        if done in (count // 4, count // 2, count - 1):
            memory.append(round(resident() / 1e6))
        if not done:
            began, used = time.perf_counter(), time.process_time()  # the cluster stands
    wall, own = time.perf_counter() - began, time.process_time() - used
    return {
        "items": count, "seconds an item": round(wall / count, 5), "driver seconds an item": round(own / count, 5),
        "driver MB at a quarter, a half, the end": memory,
    }  # fmt: skip


def speed_up(cells: int, passes: int) -> dict[str, Any]:
    """One worker against two; starting them is not counted."""
    seconds = {}
    for workers in (1, 2):
        answers = OnRay(workers=workers).run(gradients, [1] * workers + [passes] * cells, setup=resnet)
        for number, (_, took) in enumerate(answers):
            assert isinstance(took, float), took
            if number + 1 == workers:
                began, own = time.perf_counter(), time.process_time()
        seconds[workers] = time.perf_counter() - began
    return {
        "cells": cells, "seconds, one worker": round(seconds[1], 1), "seconds, two": round(seconds[2], 1),
        "ratio": round(seconds[1] / seconds[2], 2), "driver processor seconds": round(time.process_time() - own, 2),
    }  # fmt: skip


def simulated(kind: str, nodes: int, *, seconds: float, overhead: float, seed: int = 0) -> dict[str, Any]:
    """Wall time of all items, event by event, and what share of the workers' time it uses."""
    rng = random.Random(seed)
    items, size = _WORK[kind]
    serve = max(overhead, size / _NETWORK)  # the driver and the network work side by side
    free = [(0.0, worker) for worker in range(nodes * _WORKERS)]
    heapq.heapify(free)
    driver, useful, end = 0.0, 0.0, 0.0
    for _ in range(items):
        at, worker = heapq.heappop(free)
        driver = max(driver, at) + serve
        takes = seconds * (_SLOWER if rng.random() < _SLOW else 1)
        useful += takes
        if rng.random() < takes / 3600 / _HOURS:  # the node is lost halfway: done anew elsewhere
            takes *= 1.5
        heapq.heappush(free, (driver + takes, worker))
        end = max(end, driver + takes)
    busy = round(useful / end / nodes / _WORKERS, 2)
    return {
        "work": kind,
        "nodes": nodes,
        "hours": round(end / 3600, 2),
        "workers busy": busy,
        "most a second": round(1 / serve, 1),
    }


def resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
