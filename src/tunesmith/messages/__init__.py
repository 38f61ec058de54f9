"""What is said to people: messages that keep their template and values, and their catalogues."""

from tunesmith.messages.message import N_, Message, joined, marked, say, say_plural

__all__ = ["N_", "Message", "joined", "marked", "say", "say_plural"]
