"""Transformer models on this machine's CPU: found, read and compiled for whichever stage runs one."""
