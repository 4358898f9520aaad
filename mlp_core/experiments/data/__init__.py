"""What there is to train on: rows, classes, what became of each column, and an image."""
