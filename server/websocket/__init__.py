"""The native WebSocket protocol: text in while it is written, speech out while it is generated."""
