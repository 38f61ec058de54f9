"""What a training says: progress, measurements, its model card."""
