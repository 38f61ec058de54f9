"""The worker: takes experiments from queues and supervises their trainings."""
