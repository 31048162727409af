from .comparison import comparison_tables as comparison_tables
from .flags.catalogue import CHECKS as CHECKS
from .flags.catalogue import survey as survey
from .flags.transfer import TRANSFER_CHECKS as TRANSFER_CHECKS
from .flags.transfer import survey_transfer as survey_transfer
from .heatmap import heat_map as heat_map
from .heatmap import strongest as strongest
from .minimum import (
    MINIMUM_COLUMNS as MINIMUM_COLUMNS,
)
from .minimum import (
    minimum_curve as minimum_curve,
)
from .minimum import (
    minimum_picture as minimum_picture,
)
from .minimum import (
    minimum_summary as minimum_summary,
)
from .minimum import (
    minimum_tables_of as minimum_tables_of,
)
from .minimum import (
    minimum_words as minimum_words,
)
from .minimum import (
    read_minimum as read_minimum,
)
from .page import render as render
from .plots import reliability as reliability
from .plots import training_curve as training_curve
from .sections import art_table as art_table
from .tables import (
    BORROWED as BORROWED,
)
from .tables import (
    COLUMNS as COLUMNS,
)
from .tables import (
    SUMMARY_COLUMNS as SUMMARY_COLUMNS,
)
from .tables import (
    eps_text as eps_text,
)
from .tables import (
    main_eps as main_eps,
)
from .tables import (
    read_rows as read_rows,
)
from .tables import (
    summarize as summarize,
)
from .tables import (
    wilson as wilson,
)
from .tables import (
    worst_case as worst_case,
)
from .wording import crosscheck_words as crosscheck_words
