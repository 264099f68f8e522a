"""Load generation through the server's real sockets."""
