"""Configurations: what is read, and one clear line for each way to get it wrong."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from faceenc.attacks import L2, LINF, PGD, ArtHopSkipJump, parse_eps
from faceenc.benchmark import make_plan, read_config, read_task, transfer_config
from faceenc.core import ConfigError, find_config
from faceenc.data import FaceSet
from faceenc.train import read_train_config

GOOD = """
name = "mine"
eps = ["2/255", "8/255"]
[[attacks]]
name = "pgd"
steps = 7
"""


def read(tmp_path: Path, text: str) -> object:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


def test_every_shipped_configuration_can_be_read() -> None:
    files = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
    assert files
    for file in files:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        if "surrogates" in table:
            assert transfer_config(table).name == file.stem
        elif "attacks" in table:
            assert read_task(file).resolved()["name"] == file.stem
        else:
            assert read_train_config(file).name == file.stem


def test_values_arrive(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    [entry] = config.entries  # type: ignore[attr-defined]
    assert entry.attack == PGD(steps=7)
    assert entry.eps == (0.0, 2 / 255, 8 / 255, 128 / 255)
    assert entry.goals == ("dodge",)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("steps = 7", "step = 7", "unknown key 'step' in attack 'pgd': did you mean 'steps'?"),
        ('name = "mine"', 'nam = "mine"', "did you mean 'name'?"),
        ('name = "pgd"', 'name = "pdg"', "attack 'pdg' is not known: did you mean 'pgd'?"),
        ("steps = 7", 'steps = "7"', "expected a whole number"),
        ("steps = 7", "steps = 0", "attack 'pgd': steps is 0: expected at least 1 and at most 100000, such as 10"),
        ("steps = 7", "steps = true", "expected a whole number"),
        ("steps = 7", "steps = 99999999999999999999", "at most 100000"),
        ("steps = 7", "rel_step = -1", "rel_step is -1: expected above 0"),
        ("steps = 7", "rel_step = nan", "rel_step is nan: expected above 0"),
        ("steps = 7", "images = 0", "images is 0: expected at least 1"),
        ("steps = 7", "goals = 5", "goals is 5: expected a list"),
        ("steps = 7", "goals = [[]]", "goals is []: expected text"),
        ("steps = 7", "norm = {}", "norm {} is not known"),
        ("[[attacks]]", "[attacks]", "write [[attacks]], in double brackets"),
        ("[[attacks]]", "seeds = 1\n[[attacks]]", "seeds is 1: expected a list"),
        ("[[attacks]]", "seeds = []\n[[attacks]]", "at least one, such as [0]"),
        ("[[attacks]]", "batch_size = 0\n[[attacks]]", "batch_size is 0: expected at least 1"),
        ("[[attacks]]", "recognizers = 3\n[[attacks]]", "'recognizers' is 3: expected a list"),
        ("[[attacks]]", "[data]\nsize = 0\n[[attacks]]", "[data] size is 0: expected at least 32"),
        ("[[attacks]]", '[data]\nsource = ""\n[[attacks]]', "names no folder"),
        ("[[attacks]]", '[data]\nsource = "C:\\new"\n[[attacks]]', "write paths with / or in single quotes"),
        ("[[attacks]]", '[data]\nsource = "C:\\Users"\n[[attacks]]', "write paths with / or in single quotes"),
        ("[[attacks]]", "[training]\nbatch_size = 1\n[[attacks]]", "[training] batch_size is 1: expected at least 2"),
        ("[[attacks]]", "[training]\nstages = [{size = 64}]\n[[attacks]]", "lacks 'epochs'"),
        ("[[attacks]]", "[minimum]\nsteps = 0\n[[attacks]]", "[minimum] steps is 0: expected at least 1"),
        ('"mine"', '"../../../escaped"', "name is '../../../escaped': expected the name of a folder"),
        ('"mine"', '""', "expected the name of a folder"),
        ('name = "mine"', "name = " + "[" * 5000, "nests tables or lists too deeply"),
        ('"2/255"', '"300/255"', "eps '300/255' is above 1, the whole pixel range: write it like \"8/255\""),
        ('"2/255"', '"1e999/1"', "is not a number"),
        ('"2/255"', "true", "is not a number"),
        ("steps = 7", 'engine = "fast"', "engine 'fast' is not known"),
        ("steps = 7", 'goals = ["hide"]', "must be some of dodge, impersonate"),
        ("steps = 7", 'norm = "l1"', "norm 'l1' is not known"),
        ("steps = 7", 'norm = "l2"', "give an l2 attack its own"),
        ('"2/255"', '"8"', "eps '8' is above 1, the whole pixel range: did you mean \"8/255\"?"),
        ('"2/255"', "1.5", "above 1"),
        ('"2/255"', '"x"', "not a number"),
        ('"2/255"', '"-1/255"', "negative"),
        ('["2/255", "8/255"]', '"2/255"', "'eps' is '2/255': expected a list"),
        ("[[attacks]]", "[data]\nsauce = 1\n[[attacks]]", "did you mean 'source'?"),
        ("steps = 7", 'steps = 7\n[[attacks]]\nname = "pgd"', "same name"),
        ('name = "pgd"\nsteps = 7', 'name = "art-boundary"', "give an l2 attack its own"),
        ('name = "pgd"\nsteps = 7', 'name = "art-cw-linf"\nnorm = "l2"\neps = ["1.0"]', 'use norm = "linf"'),
        ('name = "pgd"\nsteps = 7', 'name = "art-apgd"\nloss = "hinge"', "APGD's loss 'hinge' is not known"),
        ('name = "pgd"\nsteps = 7', 'name = "art-autoattack"\ngoals = ["impersonate"]', "cannot aim it at a chosen person"),
        ('name = "pgd"\nsteps = 7', 'name = "art-square"\nmax_queries = "many"', "expected a whole number"),
        ("[[attacks]]", "[minimum]\nlargst = 1\n[[attacks]]", "did you mean 'largest'?"),
        ("[[attacks]]", '[minimum]\nlargest = "16"\n[[attacks]]', 'did you mean "16/255"?'),
        ("[[attacks]]", '[minimum]\nlargest = "1/255"\nresolution = "2/255"\n[[attacks]]', "must lie between 0 and largest"),
        ("[[attacks]]", '[minimum]\nengine = "fast"\n[[attacks]]', "engine 'fast' is not known"),
        ("[[attacks]]", "[minimum]\ngoals = []\n[[attacks]]", "must be some of dodge, impersonate"),
        ('name = "mine"', "name = ", "cannot be read as TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, GOOD.replace(old, new))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "config.toml" in str(caught.value)


def test_a_mark_at_the_beginning_is_no_mistake(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeff" + GOOD).name == "mine"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"surrogates": 3}, "'surrogates' is 3: expected a list"),
        ({"recognizers": [{"name": "a"}]}, "lacks 'source'"),
        ({"recognizers": [{"source": "dlib"}]}, "lacks 'name'"),
        ({"far": 2}, "far is 2: expected above 0 and below 1, such as 0.01"),
        ({"variants": "jpeg75"}, "variants is 'jpeg75': expected a list"),
        ({"attacks": [{"name": "art-pgd"}]}, "the recognisers measured here know none"),
    ],
)
def test_mistakes_of_transfers_are_named(changed: dict[str, object], says: str) -> None:
    table = {"name": "t", "eps": ["8/255"], "recognizers": [{"name": "a", "source": "dlib"}], "attacks": [{"name": "pgd"}]}
    assert transfer_config(table).pairs == 100
    with pytest.raises(ConfigError) as caught:
        transfer_config(table | changed)
    assert says in str(caught.value)


def test_attacks_that_need_more_people_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD + '[[attacks]]\nname = "art-autoattack"\n[[attacks]]\nname = "art-apgd-dlr"\n')
    images, rows = np.zeros((4, 32, 32, 3), np.uint8), np.arange(4)
    two = FaceSet("two", ("a", "b"), images, rows // 2, ("a/1", "a/2", "b/1", "b/2"), rows[::2], rows[1::2], "")
    with pytest.raises(ConfigError, match="attack 'art-autoattack' needs at least 3 people, the data has 2"):
        make_plan(config, two, limit=None, device="cpu", progress=lambda *_: None)  # type: ignore[arg-type]


def test_an_attack_without_norm_has_its_own(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD + '[[attacks]]\nname = "art-hopskipjump"\neps = ["3.0"]\nmax_queries = 50\n')
    assert config.entries[1].attack == ArtHopSkipJump(norm=L2, max_queries=50)  # type: ignore[attr-defined]
    assert config.resolved()["attacks"][1]["max_queries"] == 50  # type: ignore[attr-defined]


def test_recognizers_share_a_training_unless_they_say_otherwise(tmp_path: Path) -> None:
    own = "training = { batch_size = 7 }\n"
    names = "".join(f'[[recognizers]]\nname = "{name}"\n{more}' for name, more in (("a", ""), ("b", own)))
    config = read(tmp_path, GOOD + "[training]\nbatch_size = 5\n" + names)
    assert [one.training.batch_size for one in config.recognizers] == [5, 7]  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="unknown key 'batch'"):
        read(tmp_path, GOOD + "[training]\nbatch = 5\n")


def test_minimum_table(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD).minimum is None  # type: ignore[attr-defined]
    config = read(tmp_path, GOOD + '[minimum]\nnorm = "l2"\nlargest = "4.0"\nresolution = "0.25"\nimages = 9\n')
    search = config.minimum  # type: ignore[attr-defined]
    assert (search.attack.norm, search.largest, search.resolution, search.images) == (L2, 4.0, 0.25, 9)
    json.dumps(config.resolved())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "norm", "size"), [("8/255", LINF, 8 / 255), ("0", LINF, 0.0), (0.5, LINF, 0.5), ("3.0", L2, 3.0), (1, L2, 1.0)]
)
def test_parse_eps(text: object, norm: object, size: float) -> None:
    assert parse_eps(text, norm) == size  # type: ignore[arg-type]


def test_unknown_configuration_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"does not exist, neither built in nor as a TOML file: known are .*demo"):
        find_config("nosuch")
