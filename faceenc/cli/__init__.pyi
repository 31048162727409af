from .bench import bench_main as bench_main
from .common import Group as Group
from .common import print_table as print_table
from .common import progress_bars as progress_bars
from .common import set_up_logging as set_up_logging
from .passphrase import get_passphrase as get_passphrase
from .people import main as main
