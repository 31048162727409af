"""What protecting a photo needs, loaded once: detectors, surrogates, judges, people to move away from or to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Thread

import numpy as np
import torch

from faceenc.faces import FaceDetector, GroupDetector
from faceenc.media import preload
from faceenc.protect.decoys import embed_person, make_decoy
from faceenc.protect.options import Options
from faceenc.protect.safeguards.consent import Consent, read_consent
from faceenc.recognizers import Gallery, Recognizer, load_gallery, load_judges, load_recognizers, operating_point


@dataclass(frozen=True, eq=False)
class _Tools:
    """What is loaded once a process."""

    detector: GroupDetector
    surrogates: Sequence[Recognizer]
    judges: Sequence[Recognizer]
    gallery: Gallery | None
    own: Sequence[torch.Tensor] | None
    targets: Sequence[torch.Tensor] | None
    consent: Consent | None


@lru_cache(maxsize=2)  # nets take some 30 MB: a process that serves many wishes must not keep them all
def _tools(options: Options) -> _Tools:
    own = targets = consent = gallery = None
    if options.target is not None and options.consent is not None:
        consent = read_consent(options.consent, name=options.target)
    near, wide = FaceDetector(), FaceDetector(model="full")
    surrogates = load_recognizers(options.surrogates)
    judges = load_judges(options.judges)
    if options.person is not None and options.gallery is not None:
        own = embed_person(options.gallery / options.person, surrogates, wide)
    if options.gallery is not None:  # last, for it may take minutes
        gallery = load_gallery(options.gallery, judges, wide)
    if options.decoy is not None:
        targets = make_decoy(surrogates, seed=options.decoy)
    if consent is not None:
        targets = [torch.from_numpy(np.asarray(consent.embeddings, np.float32)) / operating_point(surrogates[0]).euclidean]
    Thread(target=preload, daemon=True).start()  # while the first photo is read and its faces are found
    return _Tools(GroupDetector(near, wide), surrogates, judges, gallery, own, targets, consent)
