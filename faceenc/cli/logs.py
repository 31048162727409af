"""What our loggers say, on standard error: how much of it. Apart, since help need not wait for `logging`."""

from __future__ import annotations

import logging

import click

from faceenc.cli.messages import as_options

_LOGGER = logging.getLogger("faceenc")
_TRACE = 5  # below DEBUG: traces, and what libraries print


class _Echo(logging.Handler):
    """Messages on standard error as it is at that moment, so that progress bars can make room for them."""

    def __init__(self, traces: bool) -> None:
        super().__init__()
        self.traces = traces

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)  # traces alone have several lines
        click.echo(line if record.levelno <= _TRACE or record.exc_info else as_options(line), err=True)


def set_up_logging(level: str = "INFO", *, traces: bool = False) -> logging.Logger:
    """Our own messages of this level and above on standard error; `traces` is for errors."""
    handler = _Echo(traces)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.addLevelName(_TRACE, "TRACE")
    _LOGGER.handlers = [handler]
    _LOGGER.setLevel(level)
    return _LOGGER


def is_quiet() -> bool:
    """Whether only errors are said."""
    return not _LOGGER.isEnabledFor(logging.WARNING)


def shows_traces() -> bool:
    """Whether an error is to show its trace."""
    return any(isinstance(handler, _Echo) and handler.traces for handler in _LOGGER.handlers)
