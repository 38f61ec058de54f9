"""Taking experiments from the queue and training them, each in a process of its own."""
