"""Where stars are: a matched filter, the first look, and the rounds on what is left over.

In: a frame above its sky, and a kernel. Out: positions, fluxes and signal to noise of sources, their shape statistics,
and what stands around them. No module here knows a PSF: `psf` hands in its kernel.
"""
