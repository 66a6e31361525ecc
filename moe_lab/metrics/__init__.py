"""What an evaluation measures, and the registry that says what every recorded quantity means."""
