"""Base models and adapters: found, inspected, loaded, fitted with LoRA, and how large they are."""
