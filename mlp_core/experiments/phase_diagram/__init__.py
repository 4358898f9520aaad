"""Which networks can be trained, over gain and depth."""
