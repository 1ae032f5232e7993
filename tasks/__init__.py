"""How each stage is retried, timed and shown: one thin Prefect task per stage of the library."""
