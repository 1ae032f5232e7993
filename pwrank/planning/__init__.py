"""What a night will do and take on this machine, told before anything starts."""
