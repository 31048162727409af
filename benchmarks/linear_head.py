"""What dlib's face net itself makes of a training's people: logistic regression on its embeddings, the reference from above.

    python benchmarks/linear_head.py celeba

Same photos, same split and same validation part as `faceenc train` with that configuration. The strength of the
regularisation is chosen on the validation part; the test part is looked at once.
"""

from __future__ import annotations

import json

import click

from faceenc.cli import progress_bars, set_up_logging
from faceenc.core import find_config
from faceenc.data import load_data
from faceenc.recognizers import load_dlibnet
from faceenc.report import wilson
from faceenc.train import holdout, read_train_config, teach

_STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)


@click.command()
@click.argument("config", default="celeba")
def main(config: str) -> None:
    from sklearn.linear_model import LogisticRegression

    set_up_logging()
    settings = read_train_config(find_config(config))
    with progress_bars() as progress:
        data = load_data(settings.data, progress=progress)
        embeddings = teach(load_dlibnet(), data.images).numpy()
    train, validation = holdout(data, settings.training.validation)
    scores = {}
    for strength in _STRENGTHS:
        head = LogisticRegression(C=strength, max_iter=2000).fit(embeddings[train], data.labels[train])
        scores[strength] = (head.score(embeddings[validation], data.labels[validation]), head)
    best = max(scores, key=lambda strength: scores[strength][0])
    right = int((scores[best][1].predict(embeddings[data.test]) == data.labels[data.test]).sum())
    low, high = wilson(right, len(data.test))
    record = {
        "data_sha256": data.sha256,
        "people": len(data.classes),
        "images": {"train": len(train), "validation": len(validation), "test": len(data.test)},
        "C": best,
        "validation_accuracy": scores[best][0],
        "test_accuracy": right / len(data.test),
        "test_interval": [low, high],
    }
    click.echo(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
