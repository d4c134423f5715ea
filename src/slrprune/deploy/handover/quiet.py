"""Silence of others: exporters that warn about their own insides, or print."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """No warnings, nothing on stdout, and only errors from these loggers, for the length of the block.

    What matters to the user is checked afterwards; deprecations inside another library are not his.

    Args:
        loggers: names of loggers, for example "torch.onnx".
    """
    levels = [(logging.getLogger(name), logging.getLogger(name).level) for name in loggers]
    for logger, _ in levels:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)
