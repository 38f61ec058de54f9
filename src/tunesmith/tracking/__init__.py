"""What is remembered: experiments, their metrics over steps, and the data they were trained on."""
