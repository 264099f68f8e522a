"""Who may come in, and how much of what he may is used."""
