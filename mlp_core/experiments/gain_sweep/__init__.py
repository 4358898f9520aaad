"""Xavier weights at several gains."""
