"""Using what an experiment left: answers of its adapter, here or in a process beside the API."""
