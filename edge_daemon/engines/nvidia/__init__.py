"""NVIDIA's runtimes: the libraries, the GPU and its memory, building engines, and keeping them."""
