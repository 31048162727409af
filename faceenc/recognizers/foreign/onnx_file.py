"""ONNX files of strangers, read within bounds: sizes, external data, operators that could run on or grow without end.

An ONNX file holds no code and no pickles; what it may do is to claim more memory or time than there is, and to name files.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from faceenc.core import CheckpointError
from faceenc.recognizers.foreign.containers import refuse_what_is_no_model

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_MOST_BYTES = 1_900_000_000  # of a file with its external data; protobuf ends at 2 GiB
_MOST_NODES = 50_000
_MOST_VALUES = 2**28  # in one tensor between two nodes, of one picture
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
_ENDLESS = {"Loop", "Scan", "SequenceMap"}
# What these make may be of any size, whatever goes in.
_GROWING = {"ConstantOfShape", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample"}


class OnnxModel(NamedTuple):
    """A model that was read and found harmless.

    Attributes:
        proto: with external data read in; nodes are named by number.
        sha256: of the file and its external data.
        size: side of its pictures; None if it leaves that open.
        batch: how many it takes at once; None if it leaves that open.
        channels_last: it takes (N, H, W, 3).
        dtype: of its input, as numpy names it.
    """

    proto: ModelProto
    sha256: str
    size: int | None
    batch: int | None
    channels_last: bool
    dtype: str


def read_onnx_model(path: Path) -> OnnxModel:
    """A model that takes one batch of pictures.

    Raises:
        CheckpointError: it is missing, damaged, no ONNX file, takes something else, or breaks a bound.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    refuse_what_is_no_model(path, "onnx:")
    if path.stat().st_size > _MOST_BYTES:
        raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes: at most {_MOST_BYTES:,} are read")
    data = path.read_bytes()
    try:
        proto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise CheckpointError(f"{path} cannot be read as ONNX ({error}): export or fetch it anew") from error
    if not proto.graph.node or not proto.graph.output:
        raise CheckpointError(f"{path} holds no graph of ONNX: export or fetch it anew")
    _check_nodes(proto, path)
    digest = hashlib.sha256(data)
    for file in _external_files(proto, path):
        digest.update(file.read_bytes())
    try:
        onnx.load_external_data_for_model(proto, str(path.parent))
        for number, node in enumerate(proto.graph.node):
            node.name = f"n{number}"  # a converter makes attributes of names
        _drop_weights_from_inputs(proto.graph)
        size, batch, last, dtype = _input(proto, path)
        _check_sizes(proto, path, size)
    except CheckpointError:
        raise
    except Exception as error:  # onnx has many errors of its own
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is damaged or makes no sense ({reason}): export or fetch it anew") from error
    return OnnxModel(proto, digest.hexdigest(), size, batch, last, dtype)


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and those within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else [*attribute.graphs]:
                yield from _graphs(inner)


def _check_nodes(proto: ModelProto, path: Path) -> None:
    nodes: list[NodeProto] = [node for graph in _graphs(proto.graph) for node in graph.node]
    if proto.functions:
        raise CheckpointError(f"{path} defines operators of its own: export it with a current exporter, which leaves none")
    if len(nodes) > _MOST_NODES:
        raise CheckpointError(f"{path} has {len(nodes):,} nodes: at most {_MOST_NODES:,} are run")
    for node in nodes:
        if node.domain not in _DOMAINS or node.op_type in _ENDLESS:
            raise CheckpointError(
                f"{path} has a node {node.domain or 'ai.onnx'}.{node.op_type}, which is not run here: export without it"
            )


def _tensors(proto: ModelProto) -> Iterator[TensorProto]:
    for graph in _graphs(proto.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                yield from ([attribute.t] if attribute.HasField("t") else [])
                yield from attribute.tensors


def _external_files(proto: ModelProto, path: Path) -> list[Path]:
    """The files of external data, each in the model's folder and of the size that the model says."""
    ends: dict[Path, int] = {}
    for tensor in _tensors(proto):
        values = math.prod(tensor.dims)
        if any(dim < 0 for dim in tensor.dims) or values > _MOST_BYTES:
            raise CheckpointError(f"{path} claims a weight of shape {list(tensor.dims)[:8]}: more than is read")
        if tensor.data_location != tensor.EXTERNAL:
            continue
        known = {entry.key: entry.value for entry in tensor.external_data}
        file = path.parent / known.get("location", "")
        inside = path.parent.resolve()
        if file.is_symlink() or not file.resolve().is_relative_to(inside) or not file.is_file():
            raise CheckpointError(
                f"{path} keeps weights in {known.get('location')!r}, which is no file in its folder: put it there, or export"
                " the model into one file"
            )
        offset, length = (known.get(key, "0") for key in ("offset", "length"))
        if not (offset.isdecimal() and length.isdecimal() and len(offset + length) < 30):
            raise CheckpointError(f"{path} says where weights lie in {file.name} in no numbers: export it anew")
        ends[file] = max(ends.get(file, 0), int(offset) + int(length))
    for file, end in ends.items():
        refuse_what_is_no_model(file, "onnx:")
        size = file.stat().st_size
        if size < end or path.stat().st_size + size > _MOST_BYTES:
            raise CheckpointError(f"{file} has {size:,} bytes, {path.name} says {end:,}; at most {_MOST_BYTES:,} are read:"
                                  " copy both files anew")  # fmt: skip
    return sorted(ends)


def _drop_weights_from_inputs(graph: GraphProto) -> None:
    """Older files name weights as inputs too, and what nodes make of them, and what no node asks for."""
    weights = {tensor.name for tensor in graph.initializer} | {name for node in graph.node for name in node.output}
    used = {name for node in graph.node for name in node.input}
    inputs = [value for value in graph.input if value.name in used - weights]
    del graph.input[:]
    graph.input.extend(inputs)


def _input(proto: ModelProto, path: Path) -> tuple[int | None, int | None, bool, str]:
    """Size, batch, channels last, dtype."""
    import onnx

    inputs = [value.name for value in proto.graph.input]
    if len(inputs) != 1:
        raise CheckpointError(f"{path} takes {len(inputs)} inputs ({', '.join(inputs[:4])}): expected one, the pictures")
    kind = proto.graph.input[0].type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in kind.shape.dim]
    if len(dims) != 4 or (dims[1] not in (3, None) and dims[3] != 3):
        shown = [value or "?" for value in dims]
        raise CheckpointError(f"{path} takes {shown}: expected pictures, [N, 3, height, width] or [N, height, width, 3]")
    last = dims[3] == 3 and dims[1] != 3
    height, width = dims[1:3] if last else dims[2:]
    if height != width:
        raise CheckpointError(f"{path} takes pictures of {height} x {width} pixels: crops of faces are square here")
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    if dtype not in ("float16", "float32", "float64", "uint8"):
        raise CheckpointError(f"{path} takes pictures of {dtype}: expected floats, or uint8")
    return height, dims[0], last, dtype


def _check_sizes(proto: ModelProto, path: Path, size: int | None) -> None:
    """Raises CheckpointError where a tensor between two nodes is too large, or its size cannot be told beforehand."""
    import onnx

    probe = onnx.ModelProto()
    probe.CopyFrom(proto)
    dims = probe.graph.input[0].type.tensor_type.shape.dim
    for dim, value in zip(dims, (1, *(size or 224 for _ in range(3))), strict=True):
        if not dim.dim_value:
            dim.dim_value = value
    del probe.graph.value_info[:]  # what the file claims
    for value in probe.graph.output:
        value.type.tensor_type.ClearField("shape")
    found = onnx.shape_inference.infer_shapes(probe, data_prop=True).graph
    known = {value.name: value.type.tensor_type.shape for value in (*found.value_info, *found.output)}
    for node in found.node:
        for name in node.output:
            shape = known.get(name)
            sizes = (
                [dim.dim_value if dim.HasField("dim_value") else None for dim in shape.dim] if shape is not None else [None]
            )
            if math.prod(value or 1 for value in sizes) > _MOST_VALUES:
                raise CheckpointError(f"{path} makes a tensor of shape {sizes} ({node.op_type}): more than is run here")
            if None in sizes and node.op_type in _GROWING:
                raise CheckpointError(
                    f"{path} makes a tensor of no known size ({node.op_type}): export it with a fixed size"
                )
