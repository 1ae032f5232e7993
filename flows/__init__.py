"""What runs, in which order, when: the nightly run, the retraining, the backfill, the command."""
