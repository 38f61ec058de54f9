"""What may be deleted to free space, and how."""
