"""Where this process stands among those that train one experiment together."""
