"""A training's folder on disk: train.json, epochs.csv, curve.png, best and last checkpoint, and the state to go on from."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from faceenc.core import FolderLock, RunError, open_file, read_text, write_atomically
from faceenc.recognizers import FaceResNet, save_checkpoint

EPOCH_COLUMNS = (
    "epoch", "size", "learning_rate", "loss", "train_accuracy", "validation_accuracy", "test_accuracy", "seconds",
    "images_per_second", "waiting", "memory_gb",
)  # fmt: skip
_STATE = "state.pt"


class TrainFolder:
    """Keeps a training, epoch by epoch; nothing is ever half-written.

    Args:
        path: made if need be; it is taken from the first `save` on.
        plan: JSON-like, all that the result depends on; a training can only be resumed with the same one.
        resume: go on with what is there.

    Raises:
        RunError: the folder holds a training and `resume` is off; it holds none, or another one, and `resume` is on.
    """

    def __init__(self, path: Path, plan: dict[str, Any], *, resume: bool) -> None:
        self.path, self.resume = path, resume
        self._lock = FolderLock(path)
        self.plan = json.loads(json.dumps(plan))
        self._refuse_taken()
        if resume:
            self._check(path / "train.json")
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"folder {path} cannot be made ({error.strerror}): choose another `output`") from error

    def _refuse_taken(self) -> None:
        if (self.path / "train.json").exists() and not self.resume:
            raise RunError(f"{self.path} already holds a training: pass `resume` to go on with it, or another `output`")

    def close(self) -> None:
        """Let others write into the folder, which no other process can from `load` or the first `save` on."""
        self._lock.release()

    def _check(self, file: Path) -> None:
        try:
            stored = json.loads(read_text(file))
        except FileNotFoundError:
            raise RunError(f"{self.path} holds no training to resume: check the path, or leave `resume` out") from None
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{file} cannot be read ({error}): train anew into another `output`") from error
        if not isinstance(stored, dict):
            raise RunError(f"{file} holds no training: train anew into another `output`")
        if stored.get("finished"):
            self._tidy()
            raise RunError(f"the training in {self.path} is finished, nothing is left to resume: see its train.json")
        if changed := [key for key, value in self.plan.items() if stored.get(key) != value]:
            raise RunError(
                f"{self.path} was begun with other {' and '.join(changed)}: resume with the same, or use another `output`"
            )

    def load(self) -> dict[str, Any] | None:
        """The state after the last finished epoch, or None if there is none yet.

        Raises:
            RunError: it is damaged, or another run writes into the folder.
        """
        if not self._lock.held:
            self._lock.acquire()
            self._refuse_taken()  # another training may have come first
        path = self.path / _STATE
        if not path.exists():
            return None
        try:
            with open_file(path) as file:
                state: dict[str, Any] = torch.load(file, weights_only=True)
        except Exception as error:  # pickle, zipfile and torch each have errors of their own
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise RunError(f"{path} cannot be read ({reason}): train anew into another `output`") from error
        return state

    def save(self, state: dict[str, Any], model: FaceResNet, *, best: bool) -> None:
        """Write checkpoints, table and curve, and last of all the state: what is resumed has all that came before it."""
        from faceenc.report import training_curve

        self._lock.acquire()
        epochs = state["epochs"]
        if not (self.path / "train.json").exists():
            self._write({"finished": False})
        record = {**self.plan, "epochs": len(epochs), "finished": False}
        save_checkpoint(model, self.path / "last.safetensors", record)
        if best:
            save_checkpoint(model, self.path / "best.safetensors", record)
        table = io.StringIO()
        writer = csv.DictWriter(table, EPOCH_COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in epoch.items()} for epoch in epochs)
        write_atomically(self.path / "epochs.csv", table.getvalue())
        write_atomically(self.path / "curve.png", training_curve(epochs))
        # By way of memory: torch hides behind an error of its own that a disk is full.
        data = io.BytesIO()
        torch.save(state, data)
        write_atomically(self.path / _STATE, data.getbuffer())

    def finish(self, model: FaceResNet, record: dict[str, Any]) -> Path:
        """Write the final checkpoint and train.json; the state is no longer needed.

        Returns:
            The checkpoint.
        """
        checkpoint = self.path / "best.safetensors"
        save_checkpoint(model, checkpoint, record)
        self._write({**record, "finished": True})
        (self.path / _STATE).unlink(missing_ok=True)
        self.close()
        return checkpoint

    def _tidy(self) -> None:
        """What a kill at the very end left; another process that is just ending does so itself."""
        with suppress(RunError):
            self._lock.acquire()
            (self.path / _STATE).unlink(missing_ok=True)
            self._lock.release()

    def _write(self, content: dict[str, Any]) -> None:
        write_atomically(self.path / "train.json", json.dumps({**self.plan, **content}, indent=2) + "\n")
