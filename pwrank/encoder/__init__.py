"""Texts to unit vectors with a pre-trained model, each text once."""
