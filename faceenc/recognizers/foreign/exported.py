"""Programs of torch: `torch.export.save`'s (.pt2), which run none of their maker's code here, and TorchScript, which does.

torch reads a .pt2 file with pickles at five places, evaluates texts in it as Python, and loads machine code from it. So a
copy is made of what is known to be harmless, tensors and a graph of torch's own operators, and torch reads that copy alone.
"""

from __future__ import annotations

import io
import json
import math
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from faceenc.core import CheckpointError, file_sha256
from faceenc.recognizers.foreign.containers import check_script, torch_kind
from faceenc.recognizers.foreign.description import Description
from faceenc.recognizers.foreign.net import Opened
from faceenc.recognizers.foreign.trust import check_trust

_MOST_VALUES = 2**29  # in one weight
_MODEL = "model"
_JSONS = (
    f"models/{_MODEL}.json", f"data/weights/{_MODEL}_weights_config.json", f"data/constants/{_MODEL}_constants_config.json",
)  # fmt: skip
_PLAIN = re.compile(
    r"archive_format|archive_version|byteorder|\.data/\w+|\.format_version|data/(weights|constants)/(weight|tensor)_\w+"
)
_SAMPLES = f"data/sample_inputs/{_MODEL}.pt"
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.\w+\.\w+|torch\.sym_\w+|math\.(ceil|floor|trunc|sqrt)"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
)
# sympy evaluates these as Python: numbers, sizes, and the functions torch writes.
_EXPRESSION = re.compile(
    r"([\d\s+\-*/%(),.<>=!&|~]|Symbol\('[a-z]{1,3}\d+'|\b(s|u|zuf|zf)\d+\b"
    r"|\b(True|False|positive|nonnegative|negative|integer|real|finite|Integer|Add|Mul|Pow|Max|Min)\b"
    r"|\b(FloorDiv|CleanDiv|CeilDiv|Mod|PythonMod|IntTrueDiv)\b)*"
)
_CONTAINERS = {"null", '"builtins.tuple"', '"builtins.list"', '"builtins.dict"'}
_REFUSED = {"as_custom_obj", "as_graph", "as_operator", "as_complex_obj", "as_opaque_obj"}


def open_torch(path: Path, description: Description, *, trust_code: bool) -> Opened:
    """A program of torch that maps pictures to embeddings or logits.

    Raises:
        CheckpointError: the file is no such program, holds pickles or what is not run here, or is damaged.
        ConfigError: it is TorchScript, and code of others is not trusted.
    """
    kind = torch_kind(path)
    fingerprint = file_sha256(path)
    if kind == "script":
        check_script(path)
        check_trust(trust_code, f"{path} is TorchScript, which runs code of its maker")
        return Opened(_script(path), fingerprint, None, description.sized(None))
    net, shape = _exported(path)
    return Opened(_Split(net, shape[0]), fingerprint, None, description.sized(shape[2]))


class _Split(nn.Module):
    """A program that may have been exported for a number of pictures: they are given so many at a time, filled up."""

    def __init__(self, net: nn.Module, batch: int | None) -> None:
        super().__init__()
        self.net, self.batch = net, batch

    def train(self, mode: bool = True) -> Self:
        """As it was exported: a program knows no modes, and says so in errors."""
        return self

    def forward(self, x: torch.Tensor) -> Any:
        if self.batch is None or len(x) == self.batch:
            return self.net(x)
        return in_batches(self.net, x, self.batch)


def in_batches(net: Any, x: torch.Tensor, batch: int) -> torch.Tensor:
    """(N, K) by a net that takes `batch` pictures at a time; the last are filled up with the last one."""
    from faceenc.recognizers.foreign.net import first_tensor

    missing = -len(x) % batch
    filled = torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing else x
    return torch.cat([first_tensor(net(part)).flatten(1) for part in filled.split(batch)])[: len(x)]


def _script(path: Path) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its coming end
        try:
            net: nn.Module = torch.jit.load(str(path), map_location="cpu")
        except Exception as error:  # RuntimeError and more
            raise CheckpointError(f"{path} cannot be read as TorchScript ({_first_line(error)}): save it anew") from error
    for weight in net.parameters():
        weight.requires_grad_(False)
    return net.eval()


def _exported(path: Path) -> tuple[nn.Module, list[int | None]]:
    """The program, and the shape of the pictures that it takes."""
    clean, shape = _harmless_copy(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(clean)
            net = program.module()
    except Exception as error:  # torch has many
        raise CheckpointError(
            f"{path} cannot be read as a program of torch ({_first_line(error)}): export it anew with this torch"
        ) from error
    for weight in net.parameters():
        weight.requires_grad_(False)
    return net, shape


def _harmless_copy(path: Path) -> tuple[io.BytesIO, list[int | None]]:
    made = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as copy:
        names = source.namelist()
        inside = {name.partition("/")[2]: name for name in names}
        if len(inside) < len(names) or not set(_JSONS) <= set(inside):
            raise CheckpointError(f"{path} is no file of today's torch.export.save, or has an entry twice: export it anew")
        for name, entry in inside.items():
            if name in _JSONS or name == _SAMPLES:
                continue
            if not _PLAIN.fullmatch(name):
                raise CheckpointError(f"{path} holds {name}, which is not read (it may run): export it anew")
            copy.writestr(f"{_MODEL}/{name}", source.read(entry))
        try:
            program, *configs = (json.loads(source.read(inside[name])) for name in _JSONS)
            shape = _checked_program(program, path)
            for config in configs:
                _check_weights(config["config"], path)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"{path} is damaged ({type(error).__name__}: {_first_line(error)}): export it anew"
            ) from error
        for name, table in zip(_JSONS, (program, *configs), strict=True):
            copy.writestr(f"{_MODEL}/{name}", json.dumps(table))
        samples = io.BytesIO()  # in the place of the file's own, which is a pickle
        picture = torch.zeros(*(side or 2 for side in shape))
        torch.save(((picture,), {}), samples)
        copy.writestr(f"{_MODEL}/{_SAMPLES}", samples.getvalue())
    made.seek(0)
    return made, shape


def _check_weights(config: dict[str, Any], path: Path) -> None:
    for name, entry in config.items():
        plain = re.fullmatch(r"(weight|tensor)_\w+", entry["path_name"])
        if entry.get("use_pickle") or not plain:
            raise CheckpointError(f"{path} keeps {name} as a pickle, which is not read: export it anew with dense tensors")
        sizes = [size["as_int"] for size in entry["tensor_meta"]["sizes"]]
        if any(size < 0 for size in sizes) or math.prod(sizes) > _MOST_VALUES:
            raise CheckpointError(f"{path} claims a weight of shape {sizes}: more than is read")


def _checked_program(program: dict[str, Any], path: Path) -> list[int | None]:
    """Looks through a program, and takes out what runs or is of no use.

    Returns:
        The shape of its pictures; None for what it leaves open.
    """
    module = program["graph_module"]
    program["guards_code"] = []  # Python
    module["metadata"], module["treespec_namedtuple_fields"] = {}, {}
    for node in module["graph"]["nodes"]:
        node["metadata"] = {}
        if not _OPERATOR.fullmatch(node["target"]):
            raise CheckpointError(f"{path} calls {node['target']}, which is not run here: export it to torch's operators")
    for key, value in _pairs(program):
        if key in _REFUSED or not _harmless(key, value):
            raise CheckpointError(f"{path} holds {key} {str(value)[:60]!r}, which is not run here: export a plain net")
    inputs = [one["user_input"]["arg"] for one in module["signature"]["input_specs"] if "user_input" in one]
    if len(inputs) != 1 or "as_tensor" not in inputs[0]:
        raise CheckpointError(f"{path} takes {len(inputs)} inputs: expected one, the pictures")
    sizes = [size.get("as_int") for size in module["graph"]["tensor_values"][inputs[0]["as_tensor"]["name"]]["sizes"]]
    if len(sizes) != 4 or sizes[1] not in (3, None) or sizes[2] != sizes[3]:
        raise CheckpointError(f"{path} takes {sizes}: expected square pictures, [N, 3, size, size]")
    return sizes


def _harmless(key: str, value: Any) -> bool:
    """Whether a value may go where torch makes Python of it: names become names in it, expressions are evaluated."""
    if key == "expr_str":
        return isinstance(value, str) and _EXPRESSION.fullmatch(value) is not None
    if key in ("name", "as_name"):
        return value in ("", None) or (isinstance(value, str) and value.isidentifier())
    if key in ("parameter_name", "buffer_name", "tensor_constant_name", "fqn"):
        return isinstance(value, str) and re.fullmatch(r"[\w.]*", value) is not None
    if key == "forward_arg_names":
        return all(isinstance(name, str) and name.isidentifier() for name in value or ())
    if key.endswith("_values") or key == "range_constraints":
        return all(name.isidentifier() for name in value)
    if key in ("in_spec", "out_spec") and value:
        return (
            set(re.findall(r'"type": (null|"[^"]*")', value)) <= _CONTAINERS
            and value.count('"type"') == len(re.findall(r'"type": (?:null|"[^"]*")', value))
            and set(re.findall(r'"context": (.*?),', value)) <= {"null", '"null"', '"[]"'}
        )
    return True


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of nested tables, with its value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, item
            yield from _pairs(item)
    elif isinstance(value, list):
        for item in value:
            yield from _pairs(item)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
