"""Benchmark: a configuration becomes a plan, cells, rows.

Offers `read_config`, `make_plan` and `run_benchmark`, its folder, the comparison with ART step by step; `transfer/` measures
noise made on some recognisers and judged by others.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
