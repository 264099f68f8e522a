"""Speech for a text that is still being written: what it costs and what it sounds like, by the writer's pace."""
