"""Protocols of other vendors, so that their unmodified clients work: one folder each, over the native contexts."""
