"""The model: what it reads, how it is built, how it learns, how it is kept."""
