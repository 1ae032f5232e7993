"""How good lists and scores are, next to baselines."""
