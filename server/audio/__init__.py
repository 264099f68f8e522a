"""Audio encoding: frames of the WebSocket protocol, and files and streams over HTTP."""
