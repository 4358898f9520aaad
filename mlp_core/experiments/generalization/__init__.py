"""Wide against deep outside the training region."""
