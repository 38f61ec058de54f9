"""Commands that run and look after the services."""
