"""What the first layer of networks on photographs looks for."""
