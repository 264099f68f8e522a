"""What each utterance used, and totals by API key and month."""
