"""The log as JSON lines on stderr: of the service, a schedule, a refresh that nobody watches."""

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import Processor


class _UnfailingStderr:
    """What cannot be logged ends nothing: the disk may be full, or its reader gone."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


_LIBRARIES = ("aiokafka", "asyncio", "neo4j", "opentelemetry", "uvicorn")
_STDERR = cast(TextIO, _UnfailingStderr())


def configure_json_log(*more: Processor) -> None:
    """Log as JSON lines on stderr, also what libraries log by Python's own logging.

    structlog's own way of showing errors is left aside: it prints the values of variables.

    Args:
        more: what else is done to each line.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *more,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=lambda *_: structlog.WriteLogger(_STDERR),
    )
    # The driver warns of a retried dead-lock; the retry is what was meant to happen.
    logging.getLogger("neo4j").setLevel(logging.ERROR)
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [_ToStructlog(logging.WARNING)], False


class _ToStructlog(logging.Handler):
    """What a library logs, as one of our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def logs_json() -> bool:
    """Whether `configure_json_log` was called last."""
    last = structlog.get_config()["processors"][-1]
    return isinstance(last, structlog.processors.JSONRenderer)
