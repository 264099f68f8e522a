"""How fast Sayline is, measured from outside through real sockets and from inside, at the engine."""
