"""Built-in and cloned voices: lookup, storage, uploads and downloads."""
