"""The files of an experiment and of this machine: written whole, private unless shared."""
