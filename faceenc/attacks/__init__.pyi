from .art.batches import ArtFGSM as ArtFGSM
from .art.batches import ArtPGD as ArtPGD
from .art.blackbox import ArtSimBA as ArtSimBA
from .art.blackbox import ArtSquare as ArtSquare
from .art.budget import CIRCLES as CIRCLES
from .art.budget import BudgetedRecognizer as BudgetedRecognizer
from .art.budget import Finished as Finished
from .art.decision import ArtBoundary as ArtBoundary
from .art.decision import ArtHopSkipJump as ArtHopSkipJump
from .art.gradient import (
    ArtAPGD as ArtAPGD,
)
from .art.gradient import (
    ArtAutoAttack as ArtAutoAttack,
)
from .art.gradient import (
    ArtUniversal as ArtUniversal,
)
from .art.gradient import (
    apgd_dlr as apgd_dlr,
)
from .art.minimal import ArtCarliniL2 as ArtCarliniL2
from .art.minimal import ArtCarliniLinf as ArtCarliniLinf
from .art.minimal import ArtDeepFool as ArtDeepFool
from .catalogue import ATTACKS as ATTACKS
from .counting import Counted as Counted
from .engines import (
    ENGINES as ENGINES,
)
from .engines import (
    Exact as Exact,
)
from .engines import (
    Relaid as Relaid,
)
from .engines import (
    cached_engine as cached_engine,
)
from .engines import (
    gradient_engine as gradient_engine,
)
from .fused import FusedResNet as FusedResNet
from .goals import Contrast as Contrast
from .goals import Dodge as Dodge
from .goals import Impersonate as Impersonate
from .goals import MoveAway as MoveAway
from .goals import MoveTo as MoveTo
from .gradient_masking import gradient_health as gradient_health
from .harness import BATCH_SIZE as BATCH_SIZE
from .harness import image_generators as image_generators
from .harness import run_attack as run_attack
from .minimum import MinimumSearch as MinimumSearch
from .minimum import minimum_eps as minimum_eps
from .norms import (
    L2 as L2,
)
from .norms import (
    LINF as LINF,
)
from .norms import (
    NORMS as NORMS,
)
from .norms import (
    ShapedLinf as ShapedLinf,
)
from .norms import (
    Smoothed as Smoothed,
)
from .norms import (
    parse_eps as parse_eps,
)
from .pgd import PGD as PGD
from .pgd import Noise as Noise
from .pgd import bim as bim
from .pgd import fgsm as fgsm
from .pgd import l1_norms as l1_norms
from .transfer import Transfer as Transfer
from .transfer import di_mi_fgsm as di_mi_fgsm
from .transfer import mi_fgsm as mi_fgsm
from .views import OverViews as OverViews
from .views import RandomViews as RandomViews
