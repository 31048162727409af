"""Work on the nodes of a Ray cluster (https://docs.ray.io): Ray finds them a core, moves what travels, and tells of deaths.

Workers are Ray actors with one core each, which build their state once. The driver alone hears of results and writes them.
"""

from __future__ import annotations

import logging
import os
import platform
import secrets
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from faceenc.core import ConfigError, RunError, order_sums
from faceenc.runs.executor import Executor, Failure, Processes, Sized
from faceenc.runs.processes import Raised, attempt

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

logger = logging.getLogger(__name__)

LOCAL = "local"
_TRIES = 3  # of an item whose worker dies
_ALIKE = ("faceenc", "torch")  # packages of which every node needs the driver's version
_SECRET = ("FACEENC_PASSPHRASE",)  # does not travel
# Of local clusters where the user has none, or Ray writes one into the user's home. Ray reads it once in a process.
_OWN_TOKEN = secrets.token_hex(32)
_NEEDED = "pip install 'faceenc[ray]'"


@dataclass(frozen=True, slots=True)
class OnRay:
    """An `Executor` of a cluster's workers; `task`, `setup`, items and results are picklable.

    The longest items start first, and each worker has one at a time, so that no more is under way than there are
    workers. An item whose worker or node dies is tried twice more, on a new worker, before it is a `Failure`. What tasks
    read by its path (the working folder, data, the cache folder, photos) has to be there on every node under the same path.

    Attributes:
        address: "local" starts a cluster in this machine for as long as the work takes; "auto" is the one that runs on this
            machine; else HOST:PORT of a cluster's head.
        workers: how many at most; None is one for each core of the cluster.
    """

    address: str = LOCAL
    workers: int | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError at once where no work can be done: without Ray, or without a token."""
        # Before Ray is loaded: it reports to its makers, and lets in whoever reaches its ports, unless it is told.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if self.address == LOCAL and not _has_token():
            os.environ["RAY_AUTH_TOKEN"] = _OWN_TOKEN
        _ray()
        if self.address != LOCAL and (os.environ["RAY_AUTH_MODE"] != "token" or not _has_token()):
            raise ConfigError(
                f"`cluster={self.address}` needs a token, for whoever reaches a cluster without one may run anything there:"
                " start it with RAY_AUTH_MODE=token (`ray get-auth-token --generate`), and give the token in RAY_AUTH_TOKEN"
            )

    def run(
        self,
        task: Callable[[Any, _Item], _Result],
        items: Sequence[_Item],
        *,
        setup: Callable[[], Any] | None = None,
    ) -> Generator[tuple[int, _Result | Failure]]:
        """As of `Executor`.

        Raises:
            ConfigError: the cluster cannot be reached, or its nodes differ in versions.
        """
        if not items:
            return
        with connected(self.address, self.workers):
            if self.address != LOCAL:
                check_nodes()
            yield from _work(task, items, setup, self.workers)


def executor_for(jobs: int, cluster: str | None) -> Executor | None:
    """As options say: a cluster's workers, so many processes, or None for this process alone."""
    if cluster is not None:
        return OnRay(cluster, jobs if jobs > 1 else None)
    return Processes(jobs) if jobs > 1 else None


def _work(
    task: Callable[[Any, Any], Any], items: Sequence[Any], setup: Callable[[], Any] | None, workers: int | None
) -> Generator[tuple[int, Any]]:
    ray = _ray()
    cores = int(ray.cluster_resources().get("CPU", 1))
    settings = {name: value for name, value in os.environ.items() if name.startswith("FACEENC_") and name not in _SECRET}
    hire: Any = partial(ray.remote(num_cpus=1)(_Worker).remote, (task, setup, str(Path.cwd()), settings))
    seconds = [item.seconds if isinstance(item, Sized) else 0.0 for item in items]
    waiting = deque(sorted(range(len(items)), key=lambda number: -seconds[number]))
    tries, stillborn = [0] * len(items), 0
    idle: list[Any] = []
    # A worker gets items once it runs: one that waits for a core, as after the loss of a node, must keep no item waiting.
    under_way: dict[Any, tuple[int | None, Any]] = {}

    def begin() -> None:
        worker = hire()
        under_way[worker.ready.remote()] = None, worker

    for _ in range(max(1, min(len(items), workers or cores, cores))):
        begin()
    try:
        while waiting or any(number is not None for number, _ in under_way.values()):
            while waiting and idle:
                number, worker = waiting.popleft(), idle.pop()
                tries[number] += 1
                under_way[worker.do.remote(items[number])] = number, worker
            [ready], _ = ray.wait(list(under_way), num_returns=1)
            place, worker = under_way.pop(ready)
            try:
                answer = ray.get(ready)
            except ray.exceptions.RayActorError as error:
                ray.kill(worker)
                stillborn += place is None
                if stillborn > _TRIES:
                    raise RunError(
                        f"the cluster's workers do not start: {_reason(error)}; see its logs in /tmp/ray"
                    ) from error
                begin()
                if place is not None and tries[place] < _TRIES:
                    waiting.appendleft(place)
                    continue
                answer = None if place is None else Failure(f"died {_TRIES} times ({_reason(error)})")
            else:
                idle.append(worker)
            if isinstance(answer, Raised):
                raise answer.error
            if place is not None:
                yield place, answer
    finally:
        for worker in [*idle, *(worker for _, worker in under_way.values())]:
            ray.kill(worker)


class _Worker:
    """What an actor is: the task's state, made at the first item, so that what `setup` raises reaches the driver."""

    def __init__(self, orders: tuple[Callable[[Any, Any], Any], Callable[[], Any] | None, str, Mapping[str, str]]) -> None:
        order_sums()
        self.task, self.setup, folder, settings = orders
        os.environ.update(settings)
        os.chdir(folder)
        self.state: Any = None
        import torch

        torch.set_num_threads(1)

    def ready(self) -> None:
        """It runs."""

    def do(self, item: Any) -> Any:
        if self.setup is not None:
            self.state, self.setup = attempt(self.setup), None
        return self.state if isinstance(self.state, Raised) else attempt(self.task, self.state, item)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"


@contextmanager
def connected(address: str, cores: int | None = None) -> Iterator[None]:
    """A driver of the cluster; one that was there before stays.

    Raises:
        ConfigError: it cannot be reached.
    """
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": False}
    try:
        if address == LOCAL:
            ray.init(address=LOCAL, num_cpus=cores or os.cpu_count(), include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        what = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"`cluster={address}` cannot be reached ({what}): start one with `ray start --head`, or take local"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"`cluster` needs Ray: {_NEEDED}") from error
    return ray


def _has_token() -> bool:
    if given := os.environ.get("RAY_AUTH_TOKEN"):
        return given != _OWN_TOKEN
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    with suppress(OSError):
        return bool(file.read_text(encoding="utf-8").strip())
    return False


def check_nodes() -> None:
    """Every node has to have what the driver has; where processors differ, results may differ in their last bits.

    Raises:
        ConfigError: a node has other versions.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ray = _ray()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    ask = ray.remote(num_cpus=0, max_retries=_TRIES)(describe_node)
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    answers = ray.get([ask.options(scheduling_strategy=place).remote() for place in places])
    here = describe_node()
    for node, there in zip(nodes, answers, strict=True):
        wrong = [f"{name} {there[name]}, here {here[name]}" for name in ("python", *_ALIKE) if there[name] != here[name]]
        if wrong:
            raise ConfigError(
                f"the node {node['NodeManagerAddress']} has {'; '.join(wrong)}: install the same on every node"
            )
    kinds = {there["bf16"] for there in answers}
    if len(kinds) > 1:
        logger.warning("some nodes compute in bfloat16 and others do not: rows may differ in last bits between them")


def describe_node() -> dict[str, str]:
    """What has to be alike on all nodes: Python's minor version and packages; and whether its processor has bfloat16."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in _ALIKE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    with suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        found["bf16"] = str("avx512_bf16" in flags or "amx_bf16" in flags)
    return {"bf16": "unknown", **found}
