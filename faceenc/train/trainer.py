"""The training loop: epochs, their records, the best one, and going on where a killed training stopped."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from faceenc.core import Progress, has_bfloat16, peak_memory_gb
from faceenc.data import FaceSet
from faceenc.media import augment, centred
from faceenc.recognizers import (
    FaceResNet,
    accuracy,
    features_of,
    fit_unknown_threshold,
    load_imagenet,
    load_weights,
    logits_of,
)
from faceenc.train.adversarial import adversarial_batch
from faceenc.train.batches import Batch, ahead, epoch_batches, holdout, steps_of
from faceenc.train.distill import Lesson, start_from_dlib
from faceenc.train.epochs import is_best, log_epoch, on_plateau
from faceenc.train.recipe import Stage, Training

# Of the threshold for unknown faces: who is likelier than all others together is named, however sure the recogniser is of
# validation photos that are all but the training photos, such as frames of one video.
_SURE = 0.5
_CLIP = 5.0  # largest norm of the gradient while distilling: the transplanted layers' scales differ widely


class Keeper(Protocol):
    """Keeps a training on the disk, so that it can be taken up again."""

    def load(self) -> dict[str, Any] | None:
        """The state after the last finished epoch, or None at the beginning."""
        ...

    def save(self, state: dict[str, Any], model: FaceResNet, *, best: bool) -> None:
        """Called after each epoch; state["epochs"] lists one record an epoch."""
        ...


class Trainer:
    """One training under way."""

    def __init__(
        self,
        data: FaceSet,
        training: Training,
        unlabelled: NDArray[np.uint8],
        keeper: Keeper | None,
        device: str,
        progress: Progress | None,
    ) -> None:
        self.data, self.training, self.unlabelled = data, training, unlabelled
        self.keeper, self.device, self.progress = keeper, device, progress
        self.started = time.perf_counter()
        self.rng = torch.Generator().manual_seed(training.seed)
        self.train_rows, self.validation_rows = holdout(data, training.validation)
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            self.model = FaceResNet(data.classes, data.images.shape[1], data.framing)
            self.init, self.lesson = self._initialise()
        self.model.to(device).to(memory_format=torch.channels_last)
        self.epochs: list[dict[str, Any]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_epoch = 0
        share = training.unlabelled if self.lesson and len(unlabelled) else 0.0
        self.labelled_size = max(1, training.batch_size - round(training.batch_size * share))
        self.unlabelled_size = training.batch_size - self.labelled_size
        self.steps = max(training.least_steps, steps_of(len(self.train_rows), self.labelled_size))

    def _initialise(self) -> tuple[str, Lesson | None]:
        """Weights as `training.init` says; what they are in the end, and the teacher's part."""
        init = self.training.init
        if init == "dlib":
            first = self.training.stages[0]
            lesson = start_from_dlib(
                self.model,
                self.data,
                self.train_rows,
                self.unlabelled,
                view=lambda x: centred(x, first.size, first.centre),
                precision=self._precision("cpu"),
                progress=self.progress,
            )
            lesson.head.to(self.device)
            return "dlib", lesson
        if init == "imagenet":
            return ("imagenet" if load_imagenet(self.model) else "random"), None
        if init != "random":
            load_weights(self.model, Path(init).expanduser())
        return init, None

    def _precision(self, device: str | None = None) -> AbstractContextManager[object]:
        device = device or self.device
        return torch.autocast(device, torch.bfloat16) if has_bfloat16(device) else nullcontext()

    def run(self) -> tuple[FaceResNet, dict[str, Any]]:
        stage, done = 0, 0  # where to go on: the stage, and its epochs that are done
        saved = self.keeper.load() if self.keeper else None
        if saved is not None:
            stage, done = self._restore(saved)
        else:
            saved = {}
        for index in range(stage, len(self.training.stages)):
            self._stage(index, done, saved)
            done, saved = 0, {}
        if self.best:
            self.model.load_state_dict(self.best)
        # Back to the plain layout: the exact engine's parity with ART is a matter of which kernels run.
        self.model.eval().to(memory_format=torch.contiguous_format)
        return self.model, self._record()

    def _restore(self, saved: dict[str, Any]) -> tuple[int, int]:
        self.model.load_state_dict(saved["model"])
        if self.lesson:
            self.lesson.head.load_state_dict(saved["head"])
        self.rng.set_state(saved["rng"])
        self.epochs, self.best, self.best_epoch = saved["epochs"], saved["best"], saved["best_epoch"]
        self.init = saved["init"]  # weights that could be fetched at the start may be out of reach now
        return int(self.epochs[-1]["stage"]), sum(e["stage"] == self.epochs[-1]["stage"] for e in self.epochs)

    def _stage(self, index: int, done: int, saved: dict[str, Any]) -> None:
        """The epochs of a stage after the first `done`."""
        stage = self.training.stages[index]
        parameters = [*self.model.parameters(), *(self.lesson.head.parameters() if self.lesson else ())]
        optimizer = torch.optim.AdamW(parameters, lr=stage.learning_rate, weight_decay=self.training.weight_decay)
        total = stage.epochs * self.steps
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, stage.learning_rate, total_steps=total)
        if saved:
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
        for _ in range(done, stage.epochs):
            if on_plateau(self.epochs, index, self.training.patience):
                break
            record = {"epoch": len(self.epochs) + 1, "stage": index, "size": stage.size}
            record |= self._epoch(index, optimizer, schedule) | self._judge(index)
            self.epochs.append(record)
            if self.keeper:
                log_epoch(record, sum(s.epochs for s in self.training.stages))
            best = index == len(self.training.stages) - 1 and is_best(self.epochs)
            if best:
                self.best_epoch = len(self.epochs)
            if best and len(self.validation_rows):
                self.best = {name: value.cpu().clone() for name, value in self.model.state_dict().items()}
            if self.keeper:
                self.keeper.save(self._state(optimizer, schedule), self.model, best=best)

    def _epoch(
        self, index: int, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler
    ) -> dict[str, Any]:
        stage = self.training.stages[index]
        began, waited, right, losses = time.perf_counter(), 0.0, 0, 0.0
        rate = optimizer.param_groups[0]["lr"]
        self.model.train()
        batches = ahead(
            epoch_batches(
                self.data,
                self.train_rows,
                self.unlabelled,
                sizes=(self.labelled_size, self.unlabelled_size),
                steps=self.steps,
                augment=lambda x: self._augmented(x, stage),
                rng=self.rng,
            )
        )
        labels = torch.from_numpy(self.data.labels)
        before = sum(s.epochs for s in self.training.stages[:index]) + sum(e["stage"] == index for e in self.epochs)
        everything = sum(s.epochs for s in self.training.stages) * self.steps
        seen = images = 0
        for step in range(self.steps):
            start = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - start
            logits, loss = self._loss(batch, labels[batch.rows])
            optimizer.zero_grad()
            loss.backward()
            if self.lesson:
                torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], _CLIP)
            optimizer.step()
            schedule.step()
            right += int((logits.argmax(1).cpu() == labels[batch.rows]).sum())
            losses += float(loss.detach())
            seen += len(batch.rows)
            images += len(batch.x)
            if self.progress is not None:
                self.progress("training", before * self.steps + step + 1, everything)
        batches.close()
        seconds = time.perf_counter() - began
        return {
            "learning_rate": rate,
            "loss": losses / self.steps,
            "train_accuracy": right / seen,
            "seconds": seconds,
            "images_per_second": images / seconds,
            "waiting": waited / seconds,
            "memory_gb": peak_memory_gb(),
        }

    def _loss(self, batch: Batch, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the labelled images, and the loss ()."""
        x = batch.x.to(self.device, memory_format=torch.channels_last)
        if self.training.adversarial:
            with self._precision():
                x = adversarial_batch(self.model, x, labels.to(self.device), self.training, self.rng)
        with features_of(self.model) as latest, self._precision():
            logits = self.model(x)[: len(labels)].float()
        smoothing = self.training.label_smoothing
        loss = F.cross_entropy(logits, labels.to(self.device), label_smoothing=smoothing)
        if self.lesson:
            targets = torch.cat([self.lesson.labelled[batch.rows], self.lesson.unlabelled[batch.others]])
            with self._precision():
                imitation = self.lesson.loss(latest[0], targets.to(self.device))
            loss = loss + self.training.distill * imitation
        return logits.detach(), loss

    def _augmented(self, x: torch.Tensor, stage: Stage) -> torch.Tensor:
        t = self.training
        x = augment(
            x,
            self.rng,
            size=stage.size,
            degrees=t.degrees,
            zoom=t.zoom,
            crop=stage.crop,
            centre=stage.centre,
            jitter=t.jitter,
        )
        if t.noise:
            strength = t.noise * torch.rand(len(x), 1, 1, 1, generator=self.rng)
            x = (x + strength * torch.randn(x.shape, generator=self.rng)).clamp_(0, 1)
        return x

    def _judge(self, index: int) -> dict[str, Any]:
        """Accuracies after an epoch; the test part's is for the record only, nothing is chosen by it.

        In float32, and in the last stage on whole images: as the recogniser is used, so that its record says the same.
        """
        stage, last = self.training.stages[index], index == len(self.training.stages) - 1
        view: dict[str, Any] = {} if last else {"size": stage.size, "centre": stage.centre}
        self.model.eval()
        parts = {"validation": self.validation_rows, "test": self.data.test if self.keeper else self.data.test[:0]}
        found: dict[str, Any] = {}
        for name, rows in parts.items():
            if len(rows):
                right = logits_of(self.model, self.data, rows, **view).argmax(1).numpy() == self.data.labels[rows]
                found[f"{name}_accuracy"] = float(right.mean())
        return found

    def _state(self, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "head": self.lesson.head.state_dict() if self.lesson else {},
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "rng": self.rng.get_state(),
            "epochs": self.epochs,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "init": self.init,
        }

    def _record(self) -> dict[str, Any]:
        data = self.data
        record = {
            "data": data.name,
            "data_sha256": data.sha256,
            "settings": self.training.record(),
            "init": self.init,
            "people": len(data.classes),
            "images": {"train": len(self.train_rows), "validation": len(self.validation_rows), "test": len(data.test)},
            "unlabelled_images": len(self.unlabelled) if self.lesson else 0,
            "epochs": len(self.epochs),
            "best_epoch": self.best_epoch,
            "train_accuracy": accuracy(self.model, data, self.train_rows),
        }
        if len(self.validation_rows):
            logits = logits_of(self.model, data, self.validation_rows)
            labels = data.labels[self.validation_rows]
            record["validation_accuracy"] = float((logits.argmax(1).numpy() == labels).mean())
            self.model.threshold = min(_SURE, fit_unknown_threshold(logits.softmax(1).numpy(), labels))
        record["test_accuracy"] = accuracy(self.model, data, data.test)
        record["seconds"] = round(time.perf_counter() - self.started, 1)
        return record
