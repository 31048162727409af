"""`faceenc evaluate`: how well does a recogniser know its people?"""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from faceenc.cli.options import PATH, command, device_option, formerly, measured, running, to_write, trust_option
from faceenc.cli.progress import progress_bars
from faceenc.cli.tables import print_table
from faceenc.core import ConfigError, resolve_device, shown

if TYPE_CHECKING:
    import pandas as pd

    from faceenc.core import Progress
    from faceenc.data import FaceSet
    from faceenc.faces import Framing
    from faceenc.recognizers import FaceResNet, ForeignClassifier, Recognizer
    from faceenc.train import Evaluation


log = logging.getLogger(__name__)

_SHOWN = 10  # lines of a table; the files have them all


@command(cls=formerly({"--model": "--judge"}))
@measured("--judge", "judges", multiple=True, required=True, metavar="RECOGNISER",
              help="A recogniser that knows people by name: a trained one (.safetensors), or one of others with classes;"
                   " may be repeated.")  # fmt: skip
@measured("--data", "source", required=True, metavar="FOLDER|orl",
              help="One sub-folder of photos a person, named as the recogniser names them, or the demo faces.")  # fmt: skip
@measured("--part", type=click.Choice(["test", "train", "all"]), default="test", show_default=True,
              help="Which photos: those held back from training, the others, or both.")  # fmt: skip
@measured("--mirror", is_flag=True, help="Average over each photo and its mirror image.")
@to_write("-o", "--output", type=PATH, metavar="FOLDER",
              help="Write evaluation.json, the whole tables as CSV and a reliability diagram;"
                   " of several recognisers, each into a folder of its name.")  # fmt: skip
@to_write("--json", "as_json", is_flag=True, help="Print a line of JSON for each recogniser instead of the tables.")
@running("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the resampled people.")
@device_option
@trust_option
def evaluate(
    judges: tuple[str, ...],
    source: str,
    part: str,
    mirror: bool,
    output: Path | None,
    as_json: bool,
    seed: int,
    device: str,
    trust_code: bool,
) -> None:
    """Measure how well a recogniser knows its people.

    Top-1 and top-5 accuracy with 95 % intervals, over photos (Wilson) and over people (whole people resampled, since photos
    of one person are not independent), each person, who is taken for whom, whether probabilities can be taken at their word,
    and who is called unknown. People whom the recogniser does not know count as strangers.
    """
    from faceenc.recognizers import load_recognizers, threshold_doubt

    device = resolve_device(device)
    recognizers = load_recognizers(judges, trust_code=trust_code)
    folders = [output / Path(one.name).stem if output and len(recognizers) > 1 else output for one in recognizers]
    if output and len({*folders}) < len(recognizers):
        raise ConfigError("--output: two of the recognisers have one name: write them into folders of their own, one by one")
    for recognizer, folder in zip(recognizers, folders, strict=True):
        found = _evaluate(recognizer, source, part, mirror=mirror, seed=seed, device=device, as_json=as_json)
        if folder is not None:
            from faceenc.train import write_evaluation

            write_evaluation(found, folder)
        if as_json:
            tables = {name: getattr(found, name).to_dict("records") for name in ("identities", "confusions")}
            click.echo(json.dumps({**found.record, **tables}, allow_nan=False))
            continue
        _print(found)
        if doubt := threshold_doubt(found.record["threshold"], recognizer.record):
            click.echo(doubt)
        if folder is not None:
            click.echo(f"written to {shown(folder)}")


def _evaluate(
    recognizer: Recognizer, source: str, part: str, *, mirror: bool, seed: int, device: str, as_json: bool
) -> Evaluation:
    from faceenc.train import evaluate_model

    model = recognizer.classifier
    if model is None:
        raise ConfigError(
            f"--judge {recognizer.name}: it has no people to know by name, which is what is measured here; to see whether it"
            " matches faces, use faceenc verify or faceenc-bench transfer"
        )
    with progress_bars(as_json=as_json) as progress:
        data = _load(source, model, progress)
        rows = {"test": data.test, "train": data.train}.get(part)
        if rows is None:
            rows = data.labels.argsort(kind="stable")
        found = evaluate_model(model.to(device), data, rows, mirror=mirror, seed=seed, progress=progress)
    same = recognizer.record.get("data_sha256") == data.sha256
    if part == "test" and not same:
        log.warning(
            "%s is not the data that this recogniser was trained on, or has changed since: if it was trained on some of"
            " these photos, it looks better than it is", data.name,
        )  # fmt: skip
    about = {
        "model": Path(recognizer.name).name, "model_sha256": recognizer.network,
        "data": data.name, "data_sha256": data.sha256, "training_data": same, "part": part, "mirror": mirror,
        "framing": model.framing, "input_size": model.input_size,
    }  # fmt: skip
    found.record.update({**about, **found.record})
    return found


def _load(source: str, model: FaceResNet | ForeignClassifier, progress: Progress) -> FaceSet:
    """The photos, cut out as the model wants them."""
    from faceenc.data import load_folder, load_orl

    if model.framing not in ("square", "aligned"):
        raise ConfigError(f'its crops are "{model.framing}": expected "square" or "aligned", in which photos are read here')
    advance = partial(progress, "photos")
    if source != "orl":
        return load_folder(Path(source), model.input_size, framing=cast("Framing", model.framing), progress=advance)
    if model.framing != "square":
        raise ConfigError(
            f'--data orl: its crops are "square", the recogniser wants them "{model.framing}"; name a folder of photos'
        )
    return load_orl(model.input_size, progress=advance)


def _print(found: Evaluation) -> None:
    import pandas as pd

    record = found.record
    click.echo(
        f"{record['model']} on {record['data']}, {_PARTS[record['part']]}: {record['images']} photos,"
        f" {record['people']} of {record['classes']} known people"
        f"{', with mirror images' if record['mirror'] else ''}"
    )
    print_table(pd.DataFrame(_measures(record)), title="accuracy and calibration")
    click.echo()
    print_table(pd.DataFrame(_decisions(record)), title=f"at the threshold {record['threshold']:.3g}")
    if record["threshold"] == 0:
        click.echo("this recogniser has no threshold: it gives every face a name")
    click.echo()
    people = _percent(found.identities.drop(columns=["ci_low", "ci_high"]), "accuracy", "probability")
    print_table(people.head(_SHOWN), title=_title("people, the worst first", people))
    if len(found.confusions):
        click.echo()
        confusions = _percent(found.confusions, "share", "probability")
        print_table(confusions.head(_SHOWN), title=_title("who is taken for whom", confusions))


_PARTS = {"test": "test part", "train": "training part", "all": "all photos"}


def _measures(record: dict[str, Any]) -> list[dict[str, str]]:
    lines = []
    for title, top in (("top-1", record["top1"]), ("top-5", record["top5"])):
        if top is not None:
            intervals = {"95 % of photos": _range(top["wilson"]), "95 % of people": _range(top["by_person"])}
            count = f"{top['right']}/{top['images']}"
            lines.append({"": title, "share": f"{top['share']:.1%}", "photos": count, **intervals})
    found = record["calibration"]
    others = {
        "mean over people": record["mean_person_accuracy"],
        "mean probability": found["mean_probability"],
        "calibration error (ECE)": found["ece"],
    }
    empty = {"photos": "", "95 % of photos": "", "95 % of people": ""}
    return lines + [{"": title, "share": f"{value:.1%}", **empty} for title, value in others.items()]


def _decisions(record: dict[str, Any]) -> list[dict[str, str]]:
    names = {"named_rightly": "named rightly", "named_wrongly": "named wrongly", "called_unknown": "called unknown"}
    lines = []
    for who, faces in (("known people", record["known"]), ("strangers", record["strangers"])):
        for key, title in names.items():
            share = (faces or {}).get(key)
            if share is not None:
                count = f"{share['right']}/{share['images']}"
                lines.append({"": who, "are": title, "share": f"{share['share']:.1%}", "photos": count,
                              "95 % of photos": _range(share["wilson"])})  # fmt: skip
    return lines


def _range(bounds: list[float]) -> str:
    return f"{100 * bounds[0]:.1f}-{100 * bounds[1]:.1f}"


def _percent(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """For people: shares in per cent, and names of folders that no terminal takes made printable."""
    shares = {name: [f"{value:.1%}" for value in table[name]] for name in columns}
    names = [name for name in ("person", "taken_for", "most_taken_for") if name in table]
    return table.assign(**shares, **{name: [shown(value) for value in table[name]] for name in names})


def _title(title: str, table: pd.DataFrame) -> str:
    return title if len(table) <= _SHOWN else f"{title} ({_SHOWN} of {len(table)}; --output writes all)"
