"""Attacks: our own PGD and noise, and ART's, behind one boundary (`faceenc.types.Attack`)."""

from collections.abc import Callable

from faceenc.attacks.art_adapters import ArtFGSM, ArtPGD
from faceenc.attacks.pgd import PGD, Noise, bim, fgsm
from faceenc.types import Attack

# Every attack by the name that configurations and reports use.
ATTACKS: dict[str, Callable[..., Attack]] = {
    "pgd": PGD,
    "bim": bim,
    "fgsm": fgsm,
    "noise": Noise,
    "art-pgd": ArtPGD,
    "art-fgsm": ArtFGSM,
}
