"""What is done when memory is short while training."""
