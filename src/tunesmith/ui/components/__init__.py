"""What several pages show: tables, charts, steps, actions with their confirmations."""
