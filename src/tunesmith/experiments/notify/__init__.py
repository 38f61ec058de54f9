"""Who hears that an experiment ended: webhooks and the operator's hook."""
