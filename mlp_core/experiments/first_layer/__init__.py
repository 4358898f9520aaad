"""What the first layer of networks on images looks for."""
