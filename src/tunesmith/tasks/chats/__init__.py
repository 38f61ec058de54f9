"""What the tasks on chats share: turns, chat templates, answers."""
