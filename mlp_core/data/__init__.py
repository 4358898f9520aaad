"""Examples: where they come from, how they are read, drawn, changed and split. Nothing of networks."""
