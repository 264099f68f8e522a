"""Compiled CPU kernels: int8 GEMM, attention, fused layers, and the choice of precision."""
