"""What shows how good an adapter is: its evaluation, and the model without it."""
