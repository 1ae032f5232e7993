"""RecBole's NeuMF on log.npz of this folder: one epoch for each line of input, timed.

    python recbole_peer.py float32|bfloat16

Runs in `.venv-recbole` only. RecBole counts negatives as members of a batch, so 2,048 interactions
with one negative each are 4,096 to it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender.neumf import NeuMF
from recbole.trainer import Trainer

SETTINGS = {
    "data_path": ".",
    "load_col": {"inter": ["user_id", "item_id"]},
    "eval_args": {
        "split": {"RS": [1.0, 0.0, 0.0]},
        "order": "RO",
        "group_by": None,
        "mode": "full",
    },
    "mf_embedding_size": 64,
    "mlp_embedding_size": 64,
    "mlp_hidden_size": [128, 64, 32],
    "dropout_prob": 0.0,
    "learner": "adam",
    "learning_rate": 1e-3,
    "train_batch_size": 4096,
    "train_neg_sample_args": {
        "distribution": "uniform",
        "sample_num": 1,
        "alpha": 1.0,
        "dynamic": False,
        "candidate_num": 0,
    },
    "use_gpu": False,
    "show_progress": False,
    "state": "ERROR",
}


def main() -> None:
    """Prepare, then train on demand."""
    log = np.load("log.npz")
    Path("log").mkdir()
    rows = np.stack([log["user"], log["item"]], axis=1)
    header = "user_id:token\titem_id:token"
    np.savetxt("log/log.inter", rows, "%d", delimiter="\t", header=header, comments="")
    settings = SETTINGS | {"enable_amp": sys.argv[1] == "bfloat16"}
    config = Config(model="NeuMF", dataset="log", config_dict=settings)
    train, *_ = data_preparation(config, create_dataset(config))
    trainer = Trainer(config, NeuMF(config, train.dataset))
    for number, _ in enumerate(sys.stdin):
        wall, processor = time.perf_counter(), time.process_time()
        trainer._train_epoch(train, number)
        spent = time.perf_counter() - wall, time.process_time() - processor
        print(json.dumps({"wall": spent[0], "processor": spent[1]}), flush=True)


if __name__ == "__main__":
    main()
