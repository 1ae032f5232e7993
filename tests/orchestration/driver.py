"""`pwrank` with one shard that stops: says `ready` on standard output, then sleeps.

Usage: driver.py SHARD SECONDS ARGUMENTS…; run as a process of its own, to be killed.
"""

import sys
import time

from flows.environment import prepare_environment

prepare_environment()

import tasks.score  # noqa: E402 - Prefect must find the environment prepared
from flows.cli import main  # noqa: E402

stopped, seconds = int(sys.argv[1]), float(sys.argv[2])
score_users = tasks.score.score_users


def score_slowly(run, night, *, shard, progress):
    if shard == stopped:
        print("ready", flush=True)
        time.sleep(seconds)
    return score_users(run, night, shard=shard, progress=progress)


tasks.score.score_users = score_slowly
sys.exit(main(sys.argv[3:]))
