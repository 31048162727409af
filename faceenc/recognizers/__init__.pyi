from .checkpoint import (
    load_checkpoint as load_checkpoint,
)
from .checkpoint import (
    load_weights as load_weights,
)
from .checkpoint import (
    save_checkpoint as save_checkpoint,
)
from .checkpoint import (
    weights_sha256 as weights_sha256,
)
from .defences import (
    Transformed as Transformed,
)
from .defences import (
    defence as defence,
)
from .defences import (
    defended as defended,
)
from .dlib.network import (
    DLIB as DLIB,
)
from .dlib.network import (
    DlibNet as DlibNet,
)
from .dlib.network import (
    chip as chip,
)
from .dlib.network import (
    chip_of_crop as chip_of_crop,
)
from .dlib.network import (
    load_dlibnet as load_dlibnet,
)
from .dlib.original import (
    _hog_detector as _hog_detector,
)
from .dlib.original import (
    dlib_similarities as dlib_similarities,
)
from .dlib.original import (
    has_dlib as has_dlib,
)
from .dlib.original import (
    hog_box as hog_box,
)
from .dlib.original import (
    landmarks_chip as landmarks_chip,
)
from .dlib.original import (
    landmarks_similarity as landmarks_similarity,
)
from .dlib.weights import MATCH_DISTANCE as MATCH_DISTANCE
from .dlib.weights import MEANS as MEANS
from .dlib.weights import read_network as read_network
from .embedders import (
    Embedder as Embedder,
)
from .embedders import (
    embed as embed,
)
from .embedders import (
    joined as joined,
)
from .embedders import (
    load_embedder as load_embedder,
)
from .ensemble import Centre as Centre
from .ensemble import Ensemble as Ensemble
from .gallery import Gallery as Gallery
from .gallery import list_people as list_people
from .gallery import load_gallery as load_gallery
from .matching import (
    FAR as FAR,
)
from .matching import (
    apply_threshold as apply_threshold,
)
from .matching import (
    equal_error_rate as equal_error_rate,
)
from .matching import (
    fit_threshold as fit_threshold,
)
from .matching import (
    fit_unknown_threshold as fit_unknown_threshold,
)
from .matching import (
    pair_scores as pair_scores,
)
from .matching import (
    rank_k as rank_k,
)
from .matching import (
    roc as roc,
)
from .matching import (
    smallest_far as smallest_far,
)
from .matching import (
    tar_at_far as tar_at_far,
)
from .naming import Recognized as Recognized
from .naming import annotate as annotate
from .naming import name_outputs as name_outputs
from .naming import recognize as recognize
from .portraits import Portrait as Portrait
from .portraits import read_portraits as read_portraits
from .portraits import strangers as strangers
from .predictions import accuracy as accuracy
from .predictions import ask as ask
from .predictions import logits_of as logits_of
from .resnet import FaceResNet as FaceResNet
from .resnet import features_of as features_of
from .resnet import load_imagenet as load_imagenet
from .surrogates import Surrogate as Surrogate
from .surrogates import load_surrogates as load_surrogates
from .verifiers import (
    CosineJudge as CosineJudge,
)
from .verifiers import (
    DlibJudge as DlibJudge,
)
from .verifiers import (
    FRBenchJudge as FRBenchJudge,
)
from .verifiers import (
    Judge as Judge,
)
from .verifiers import (
    ResNetJudge as ResNetJudge,
)
from .verifiers import (
    TwinJudge as TwinJudge,
)
from .verifiers import (
    default_judges as default_judges,
)
