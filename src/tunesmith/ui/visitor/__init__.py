"""The visitor of the page: session, cookies, sign-in."""
