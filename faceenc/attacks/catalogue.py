"""Attacks: our own PGD and noise, and ART's, behind one boundary (`faceenc.core.Attack`)."""

from __future__ import annotations

from collections.abc import Callable

from faceenc.attacks.art.batches import ArtFGSM, ArtPGD
from faceenc.attacks.art.blackbox import ArtSimBA, ArtSquare
from faceenc.attacks.art.decision import ArtBoundary, ArtHopSkipJump
from faceenc.attacks.art.gradient import ArtAPGD, ArtAutoAttack, ArtUniversal, apgd_dlr
from faceenc.attacks.art.minimal import ArtCarliniL2, ArtCarliniLinf, ArtDeepFool
from faceenc.attacks.pgd import PGD, Noise, bim, fgsm
from faceenc.attacks.transfer import Transfer, di_mi_fgsm, mi_fgsm
from faceenc.core import Attack

# Every attack by the name that configurations and reports use.
ATTACKS: dict[str, Callable[..., Attack]] = {
    "pgd": PGD,
    "bim": bim,
    "fgsm": fgsm,
    "noise": Noise,
    "mi-fgsm": mi_fgsm,
    "di-mi-fgsm": di_mi_fgsm,
    "transfer": Transfer,
    "art-pgd": ArtPGD,
    "art-fgsm": ArtFGSM,
    "art-apgd": ArtAPGD,
    "art-apgd-dlr": apgd_dlr,
    "art-autoattack": ArtAutoAttack,
    "art-cw-l2": ArtCarliniL2,
    "art-cw-linf": ArtCarliniLinf,
    "art-deepfool": ArtDeepFool,
    "art-boundary": ArtBoundary,
    "art-hopskipjump": ArtHopSkipJump,
    "art-square": ArtSquare,
    "art-simba": ArtSimBA,
    "art-universal": ArtUniversal,
}
