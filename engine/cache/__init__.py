"""KV caches: paged with shared prefixes, ring buffers, and their static-shape variants."""
