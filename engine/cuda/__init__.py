"""Static-shape steps for CUDA graphs. They run on any device; capture needs CUDA."""
