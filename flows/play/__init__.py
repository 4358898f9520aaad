"""`deep-mlp play`: a page that trains many small networks at once and shows what usually happens."""
