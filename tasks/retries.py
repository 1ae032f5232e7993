"""One retry policy: what may heal is tried again with growing, jittered waits; bad input is not."""

from __future__ import annotations

from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from pwrank.config import RuntimeConfig
from pwrank.errors import is_transient

# Our manifests say what is done already; Prefect's cache does not see changed code or lost files.
STAGE: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


def may_heal(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the failure of a task is worth another try."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_transient(error)


def retry_options(runtime: RuntimeConfig) -> dict[str, Any]:
    """Options for `task.with_options`: waits of 1, 2, 4 … times `retry_seconds`."""
    waits = [runtime.retry_seconds * 2**attempt for attempt in range(runtime.retries)]
    return {
        "retries": runtime.retries,
        "retry_delay_seconds": waits or None,
        "retry_jitter_factor": 0.5,
        "retry_condition_fn": may_heal,
    }
