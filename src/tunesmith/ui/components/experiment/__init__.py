"""Components of the page of one experiment."""
