"""What kind of file a model of others is, told from its bytes; pickles are refused unread."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

from faceenc.core import CheckpointError

_MOST_BYTES = 1_900_000_000
_MOST_PICKLE = 50_000_000  # bytes of the wiring of a TorchScript file
# What a TorchScript file's own wiring names, and torch's reader for it, which is no Python, makes without running anything.
_HARMLESS = {
    "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch.jit._pickle",
}  # fmt: skip
_REMEDY = "export the net with torch.export.save (torch:FILE.pt2) or torch.onnx.export (onnx:FILE.onnx)"


def refuse_what_is_no_model(path: Path, kind: str) -> None:
    """Says what a file is that cannot be a model of that kind.

    Raises:
        CheckpointError: it is a pickle, a folder, a page of the web, empty, or not there.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: give the model's file after {kind}")
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist: check the path after {kind}")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): check its permissions") from error
    if not head:
        raise CheckpointError(f"{path} is an empty file: copy or fetch the model anew")
    if is_pickle(head):
        raise CheckpointError(f"{path} is a pickle, which may run anything when it is read, and is not: {_REMEDY}")
    if kind == "onnx:" and head.startswith(b"PK\x03\x04"):
        raise CheckpointError(f"{path} is a zip file, as torch writes, and no file of ONNX: try torch:{path.name}")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise CheckpointError(f"{path} is a page of the web: fetch the file itself, by the page's link for downloads")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a pointer of Git LFS: fetch the file itself with `git lfs pull`")


def is_pickle(head: bytes) -> bool:
    """Whether bytes begin as pickles of protocol 2 and later do, or as one of protocol 0 that names something."""
    return head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"c__", b"cos\n", b"cposix\n"))


def torch_kind(path: Path) -> str:
    """A file of torch by the names of its entries: "exported" (torch.export.save) or "script" (TorchScript).

    Raises:
        CheckpointError: it is neither, or too large.
    """
    refuse_what_is_no_model(path, "torch:")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(f"{path} is no file of torch.export.save ({error}): {_REMEDY}") from error
    if sum(entry.file_size for entry in entries) > _MOST_BYTES:
        raise CheckpointError(f"{path} unpacks to more than {_MOST_BYTES:,} bytes: more than is read")
    inside = {entry.filename.partition("/")[2] for entry in entries}
    if "archive_format" in inside:
        return "exported"
    if any(name.startswith("code/") for name in inside) and "constants.pkl" in inside:
        return "script"
    if any(name.endswith("data.pkl") for name in inside):
        raise CheckpointError(f"{path} is a file of torch.save, a pickle, which may run anything when it is read: {_REMEDY}")
    raise CheckpointError(f"{path} is a zip file, but none of torch.export.save: {_REMEDY}")


def check_script(path: Path) -> None:
    """The pickles of a TorchScript file, looked through without being read.

    Raises:
        CheckpointError: one names something else than tensors and the net's own classes, or there are others.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len({entry.filename for entry in entries}) < len(entries):
            raise CheckpointError(f"{path} holds an entry twice: save the net anew")
        for entry in entries:
            inside = entry.filename.partition("/")[2]
            if inside.startswith(("data/", "constants/", "code/")) and not entry.filename.endswith((".pkl", ".pickle")):
                continue
            if entry.file_size > _MOST_PICKLE:
                raise CheckpointError(f"{path} holds {entry.filename}, which is too large for what it is: save the net anew")
            data = archive.read(entry)
            if inside not in ("data.pkl", "constants.pkl") and not is_pickle(data[:2]):
                continue
            named = inside not in ("data.pkl", "constants.pkl") and "a pickle where none belongs"
            if named := named or next((name for name in _globals(data) if not _harmless(name)), ""):
                raise CheckpointError(f"{path} holds {named} in {entry.filename}, and is not read: {_REMEDY}")


def _harmless(name: str) -> bool:
    module, _, attribute = name.partition(" ")
    storage = module == "torch" and attribute.endswith("Storage")
    return name in _HARMLESS or module in _HARMLESS or storage or module == "__torch__" or module.startswith("__torch__.")


def _globals(data: bytes) -> Iterator[str]:
    """What a pickle would import, "module name"; what cannot be told is called something."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in ("GLOBAL", "INST"):
                yield str(argument)
            elif opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):  # TorchScript writes none
                yield "something named in passing"
    except Exception:  # broken pickles fail in any way
        yield "something unreadable"
