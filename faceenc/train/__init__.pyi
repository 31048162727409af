from .adversarial import adversarial_batch as adversarial_batch
from .batches import ahead as ahead
from .batches import epoch_batches as epoch_batches
from .batches import holdout as holdout
from .calibration import group_bootstrap as group_bootstrap
from .calibration import measure_calibration as measure_calibration
from .config import TrainConfig as TrainConfig
from .config import read_train_config as read_train_config
from .distill import teach as teach
from .evaluation import (
    STRANGER as STRANGER,
)
from .evaluation import (
    Evaluation as Evaluation,
)
from .evaluation import (
    evaluate as evaluate,
)
from .evaluation import (
    evaluate_model as evaluate_model,
)
from .evaluation import (
    write_evaluation as write_evaluation,
)
from .folder import TrainFolder as TrainFolder
from .recipe import Stage as Stage
from .recipe import Training as Training
from .training import train as train
from .training import trained as trained
from .transplant import embedding_head as embedding_head
from .transplant import transplant_weights as transplant_weights
