"""What `tunesmith serve` answers: OpenAI's chat completions, for adapters that are kept loaded."""
