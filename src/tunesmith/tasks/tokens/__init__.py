"""What tasks know of texts and tokens before any task is defined."""
