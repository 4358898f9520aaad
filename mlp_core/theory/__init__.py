"""What theory says of wide random networks, and the signals measured in random ones. Nothing is trained."""
