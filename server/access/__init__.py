"""Access control: authentication, origins, TLS and quotas."""
