"""Computations for requests, in processes of their own and in turns."""
