"""jambonz's custom text-to-speech: its socket, and one text over HTTP."""
