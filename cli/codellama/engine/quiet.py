"""Keeps libraries from printing, from warning, and from fetching code."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


@contextmanager
def quiet() -> Iterator[None]:
    """Libraries print nothing and warn of nothing, even where warnings are errors.

    bitsandbytes logs on import and for each 8-bit product, accelerate when it offloads: their loggers stay at
    errors for good. With a package `kernels` installed, bitsandbytes would fetch code from the Hub and run it: it is
    made to find none.
    """
    for name in ("bitsandbytes", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
    verbosity = transformers_logging.get_verbosity()
    kernels = {"kernels": sys.modules["kernels"]} if "kernels" in sys.modules else {}
    transformers_logging.set_verbosity(logging.CRITICAL)
    sys.modules["kernels"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        del sys.modules["kernels"]
        sys.modules.update(kernels)
        transformers_logging.set_verbosity(verbosity)
