"""Finding one person in everything that a lake holds, and taking them out of it."""
