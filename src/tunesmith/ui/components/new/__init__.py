"""Components of the pages that begin an experiment or sweep."""
