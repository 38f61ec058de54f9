"""The services of one machine, started and stopped together; what is wrong with them."""
