"""Where tables lie besides files: in archives, in databases."""
