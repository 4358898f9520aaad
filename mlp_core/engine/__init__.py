"""Networks and their training, many members at a time. Examples in, members out; nothing of files or experiments."""
