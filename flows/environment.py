"""Environment that must stand before prefect and torch are imported; the user's own values win."""

import os

DEFAULTS = {
    # No telemetry: without a network it fills the log with errors.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # A first start migrates a database; 20 seconds are too few on two busy cores.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    # Our own lines say what happens; Prefect's tell the same with tracebacks.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "pwrank",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    # OpenMP threads that spin while they wait cost a factor of 30 when another process computes.
    "OMP_WAIT_POLICY": "PASSIVE",
    "KMP_BLOCKTIME": "0",
    "GOMP_SPINCOUNT": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


def prepare_environment() -> None:
    """Set what is not set yet."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
