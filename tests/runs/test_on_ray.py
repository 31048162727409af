"""Work on a Ray cluster on this machine: the same rows and files as here, whichever worker or node dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from faceenc.cli import bench_main, main
from faceenc.core import ConfigError
from faceenc.runs import Failure, OnRay
from tests.encrypting import QUICK, photos, portrait, save

if find_spec("ray") is None:
    pytest.skip("no Ray here: pip install 'faceenc[ray]'", allow_module_level=True)
# Clusters take seconds to start; the gate runs these besides. The warnings are Ray's own.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

TINY = Path(__file__).parent.parent / "benchmark" / "tiny.toml"


@pytest.fixture(scope="module", autouse=True)
def no_cluster_stays() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 2)
        yield


def square(state: int, item: Any) -> Any:
    """Of an item that is a path: dies after having left a line there. Of a pair: takes so long first."""
    if isinstance(item, Path):
        with item.open("a") as file:
            file.write("tried\n")
        os.kill(os.getpid(), signal.SIGKILL)
    if isinstance(item, tuple):
        time.sleep(item[1])
        item = item[0]
    if item == 13:
        raise ValueError("thirteen")
    return state * item**2


def ten() -> int:
    return 10


def test_every_item_has_its_result_and_a_killer_is_given_up_after_three_tries(tmp_path: Path) -> None:
    killer = tmp_path / "tries"
    found = dict(OnRay(workers=2).run(square, [1, killer, 2, 3], setup=ten))
    assert {number: found[number] for number in (0, 2, 3)} == {0: 10, 2: 40, 3: 90}
    assert isinstance(found[1], Failure)
    assert found[1].reason.startswith("died 3 times")
    assert killer.read_text() == "tried\n" * 3


def test_what_a_task_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="thirteen"):
        list(OnRay(workers=1).run(square, [13], setup=ten))
    assert list(OnRay().run(square, [])) == []


def test_a_cluster_without_a_token_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"`cluster=10\.0\.0\.1:6379` needs a token"):
        list(OnRay("10.0.0.1:6379").run(square, [1]))
    done = CliRunner().invoke(bench_main, ["run", str(TINY), "--cluster", "auto", "-o", str(tmp_path / "run")])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "--cluster auto needs a token" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_node_is_lost_in_the_middle() -> None:
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        other = cluster.add_node(num_cpus=1)
        found = {}
        answers = OnRay(cluster.address).run(square, [(number, 0.5) for number in range(8)], setup=ten)
        for number, answer in answers:
            if not found:
                cluster.remove_node(other, allow_graceful=False)
            assert number not in found, "counted once"
            found[number] = answer
        assert found == {number: 10 * number**2 for number in range(8)}
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_rows_and_photos_are_those_of_a_run_without_it(tmp_path: Path) -> None:
    rows = {}
    for name, words in {"here": ["--jobs", "2"], "cluster": ["--cluster", "local", "--jobs", "2"]}.items():
        options = ["run", str(TINY), "--limit", "4", "--output", str(tmp_path / name), *words]
        done = CliRunner().invoke(bench_main, options)
        assert done.exit_code == 0, done.output
        lines = (tmp_path / name / "rows.csv").read_text(encoding="utf-8").splitlines()
        column = lines[0].split(",").index("seconds")
        rows[name] = [line.split(",")[:column] + line.split(",")[column + 1 :] for line in lines]
    assert rows["here"] == rows["cluster"]
    for number in (1, 2, 3):
        save(tmp_path / "photos" / f"{number}.png", portrait(f"s{number}/1"))
    made = {}
    for name, words in {"here": ["--jobs", "2"], "cluster": ["--cluster", "local", "--jobs", "2"]}.items():
        out = tmp_path / f"photos-{name}"
        done = CliRunner().invoke(main, ["encrypt", str(tmp_path / "photos"), *QUICK, *words, "--output", str(out)])
        assert done.exit_code == 0, done.output
        made[name] = photos(out)
    assert made["here"] == made["cluster"]
    assert len(made["here"]) == 3
