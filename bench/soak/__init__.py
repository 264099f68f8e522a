"""Long-running soak tests with misbehaving clients."""
