"""What one as-of date may know of the lake: histories and catalogue."""
