"""Folders as people have them, at random: is every path in the output or named with a reason, and nothing done twice?

    python benchmarks/folders.py [--seeds 20] [--first 0] [--keep FOLDER]

Each seed makes a folder of ORL faces and drawn pictures: odd names, links, pipes, every format that a photo may have, what
is no photo, what is damaged and what may not be read. `faceenc encrypt` takes it twice, with `--json` and without. Then
every path has to be in the output, or named with its reason in the JSON lines, in the record and on the screen; the second
run must change no byte and no time; photos stay as they were; exit codes are those of the results; no trace is printed and
no temporary file left. A line a seed, and a line a fault; exit code 1 if there is any. Root may read everything: as root
the command runs without that right, by setpriv (util-linux). POSIX only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from folders_contents import fill
from PIL import Image

LEDGER = "faceenc-run.jsonl"
QUICK = ("--surrogate", "dlib", "--eps", "48/255", "--steps", "2")
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
NAMED = 10  # names that a line of the summary holds
LIMIT = 1200  # seconds a run may take


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where the folders stay; a temporary folder otherwise")
    arguments = parser.parse_args()
    bad = 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        with tempfile.TemporaryDirectory() as temporary:
            root = (arguments.keep or Path(temporary)) / str(seed)
            began = time.monotonic()
            what, faults = try_folder(root, seed)
            print(f"seed {seed}: {what}; {len(faults)} faults; {time.monotonic() - began:.0f} s", flush=True)
            for fault in faults:
                print(f"  {fault.encode('unicode_escape').decode()}", flush=True)
            bad += len(faults)
            unlock(root)
    print(f"{arguments.seeds} folders, {bad} faults")
    sys.exit(bool(bad))


def try_folder(root: Path, seed: int) -> tuple[str, list[str]]:
    """Make a folder, run the command twice, and check; returns what was done and what was wrong."""
    chance = random.Random(seed)
    folder = root / "in"
    folder.mkdir(parents=True)
    expected = fill(folder, chance)
    options = [word for word, share in (("--preview", 0.2), ("--keep-metadata", 0.2)) if chance.random() < share]
    options += ["--format", "same"] if chance.random() < 0.3 else []
    options += ["--jobs", "2"] if chance.random() < 0.25 else []
    out = folder if chance.random() < 0.3 else root / "out"
    words = [chance.choice([str(folder), "in"]), *QUICK, *options, *([] if out == folder else ["--output", out.name])]
    before, paths = state(folder), listed(folder)
    first = run(root, *words, "--json")
    made = state(out)
    second = run(root, *words)
    faults = [f"the output changed in the second run: {name}" for name in changed(made, state(out))]
    after = state(folder)
    faults += [f"the photos changed: {name}" for name in changed(before, {name: after.get(name) for name in before})]
    try:
        records = [json.loads(line) for line in first.stdout.splitlines()]
    except ValueError:
        return "no JSON", [*faults, first.stdout[-300:], first.stderr[-300:]]
    told = {str(root / record["source"]): record for record in records}
    faults += [f"told twice: {name}" for name, times in Counter(record["source"] for record in records).items() if times > 1]
    faults += [first.stderr[-300:]] if not records else []
    faults += check_paths(paths, told, out, second)
    faults += check_expected(expected, told)
    faults += check_runs(first, second, records)
    faults += check_output(out, made, before if out == folder else {}, records)
    counts = Counter(record["status"] for record in records)
    words = [word for word in words if word not in QUICK]
    return f"{len(paths)} paths, {dict(counts)}, exit code {first.returncode} ({' '.join(words)})", faults


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, with the folder's parent as its working folder."""
    command = [sys.executable, "-m", "faceenc", "encrypt", *words]
    return subprocess.run(
        [*(BOUND if os.geteuid() == 0 else ()), *command],
        cwd=root, capture_output=True, text=True, check=False, timeout=LIMIT,
        env={"PYTHONPATH": str(Path(__file__).parents[1]), **os.environ}, errors="surrogateescape",
    )  # fmt: skip


def listed(folder: Path) -> list[str]:
    """All paths that have to be accounted for: what lies in hidden, linked and locked folders goes with these."""
    found = []
    for where, folders, files in os.walk(folder):
        place = Path(where)
        shut = [name for name in folders if name.startswith(".") or (place / name).is_symlink() or not is_open(place / name)]
        found += [str(place / name) for name in (*files, *shut)]
        folders[:] = [name for name in folders if name not in shut]
    return found


def is_open(folder: Path) -> bool:
    return folder.stat().st_mode & 0o500 == 0o500


def state(folder: Path) -> dict[str, Any]:
    """What every file below a folder is: kind, time and content."""
    found: dict[str, Any] = {}
    for where, _, files in os.walk(folder):
        for name in files:
            path = Path(where) / name
            seen = path.lstat()
            regular = stat.S_ISREG(seen.st_mode)
            content = hashlib.sha256(path.read_bytes()).hexdigest() if regular else ""
            found[os.path.relpath(path, folder)] = (stat.S_IFMT(seen.st_mode), seen.st_mtime_ns, content)
    return found


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def check_paths(paths: list[str], told: dict[str, Any], out: Path, second: subprocess.CompletedProcess[str]) -> list[str]:
    """Every path is in the JSON lines, in the record and on the screen; of a locked folder itself or what it shows."""
    faults = [
        f"not in the JSON: {path}" for path in paths if not any(one == path or one.startswith(f"{path}/") for one in told)
    ]
    lines = [json.loads(line) for line in (out / LEDGER).read_text().splitlines()] if (out / LEDGER).exists() else None
    if lines is not None:
        recorded = {os.path.normpath(out / line["source"]): line for line in lines}
        faults += [
            f"not in the record: {path}"
            for path in paths
            if not any(one == path or one.startswith(f"{path}/") for one in recorded)
        ]
        for path in told.keys() & recorded.keys():
            status = recorded[path].get("status", "done")
            if status != told[path]["status"]:
                faults.append(f"the record says {status}, the JSON {told[path]['status']}: {path}")
        faults += [f"no reason in the record: {path}" for path, line in recorded.items() if not line.get("reason", "done")]
    faults += [
        f"no reason in the JSON: {path}" for path, one in told.items() if one["status"] != "done" and not one["message"]
    ]
    reasons = Counter(record["message"] for record in told.values())
    screen = second.stdout + second.stderr
    for path, record in told.items():
        many = record["status"] == "left out" and reasons[record["message"]] > NAMED
        if not many and spelt_out(Path(path).name) not in screen:
            faults.append(f"not on the screen: {path}")
    return faults


def spelt_out(name: str) -> str:
    """As the screen shows it: what is no letter is spelt out, joiners of emoji apart."""
    return "".join(c if c.isprintable() or c in "\u200d\u200c\u00a0" else c.encode("unicode_escape").decode() for c in name)


def check_expected(expected: dict[Path, tuple[str, ...]], told: dict[str, Any]) -> list[str]:
    """What was put into the folder came out as it has to, unless another file has its copy's name."""
    faults = []
    in_the_way = ("exists already", "named as the copy of")
    for path, statuses in expected.items():
        record = told.get(str(path))
        if record is None or any(words in record["message"] for words in in_the_way):
            continue
        if record["status"] not in statuses:
            faults.append(f"{record['status']} ({record['message']}), expected {' or '.join(statuses)}: {path}")
    return faults


def check_runs(first: Any, second: Any, records: list[dict[str, Any]]) -> list[str]:
    """Exit codes, nothing done twice, no trace."""
    counted = [one for one in records if one["status"] != "left out" and one.get("error") != "NoFaceError"]
    failed = sum(one["status"] == "failed" for one in counted)
    matched = sum(bool(one.get("matched")) for one in counted)
    code = 2 if failed == len(counted) else 3 if failed else 4 if matched else 0
    faults = [f"exit code {run.returncode}, expected {code}" for run in (first, second) if run.returncode != code]
    done = sum(one["status"] == "done" for one in records)
    if (again := second.stdout.count(": done already\n")) != done:
        faults.append(f"{done} photos done, {again} done already in the second run")
    said = first.stderr + second.stdout + second.stderr
    faults += [said[-600:]] if "Traceback" in said else []
    faults += [f"unexpected: {line}" for line in said.splitlines() if "unexpected" in line]
    return faults


def check_output(out: Path, made: dict[str, Any], photos: dict[str, Any], records: list[dict[str, Any]]) -> list[str]:
    """As many pictures as were done, each whole; nothing else."""
    new = [name for name in made if name not in photos and name != LEDGER]
    faults = [f"left behind: {name}" for name in new if Path(name).name.startswith(".") or name.endswith((".tmp", ".lock"))]
    pictures = [name for name in new if not name.endswith("-preview.png")]
    done = sum(one["status"] == "done" for one in records)
    if len(pictures) != done:
        faults.append(f"{done} photos done, {len(pictures)} files made")
    for name in new:
        if not name.endswith((".heic", ".tmp", ".lock")):
            with Image.open(out / name) as image:
                image.load()
    return faults


def unlock(folder: Path) -> None:
    """So that it can be removed."""
    for where, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(where) / name
            if not path.is_symlink():
                path.chmod(0o700)


if __name__ == "__main__":
    main()
