"""Two published dates beside each other: how much changed, and because of what."""
