"""From source rows to typed rows in the lake, each file once."""
