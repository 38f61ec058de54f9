"""Who is at the other end: addresses, connections of our own account, its token, the provider."""
