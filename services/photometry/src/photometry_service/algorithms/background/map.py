"""Level and noise of a sky known on a mesh, at every pixel or anywhere.

Between the nodes both are interpolated by cubic convolution. The level goes on with its slope and bend beyond the outermost
nodes; the noise stays constant there.

References
----------
Keys (1981), IEEE Trans. ASSP 29, 1153 (cubic convolution).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import median_filter

from photometry_service.algorithms.background import _meshes
from photometry_service.algorithms.background.sky_floor import SkyFloor

__all__ = ["Background", "extend"]

BEND_NODES = 5
"""Along an edge, of which the bend is taken."""


@dataclass(frozen=True, eq=False)
class Background:
    """Level and noise on the mesh, in the unit of the frame.

    Attributes
    ----------
    mesh : (my, mx), level, electron
    mesh_rms : (my, mx), one sigma per pixel, electron, without the noise of the sources; 0 only where a
        whole frame is constant
    mesh_pixels : (my, mx), pixels used per mesh after clipping; 0 where the mesh was filled from neighbours
    shape : (ny, nx) of the frame
    box_px : the mesh size asked for; ``step_px`` is the true one
    floor : where the sky was cut off below; level and noise are those before that
    """

    mesh: NDArray[np.float64]
    mesh_rms: NDArray[np.float64]
    mesh_pixels: NDArray[np.int32]
    shape: tuple[int, int]
    box_px: int
    floor: SkyFloor | None = None

    @property
    def step_px(self) -> tuple[float, float]:
        """True size of a mesh in y and x, pixels."""
        return self.shape[0] / self.mesh.shape[0], self.shape[1] / self.mesh.shape[1]

    @property
    def median(self) -> float:
        """Median level, electron."""
        return float(np.median(self.mesh))

    @property
    def rms_median(self) -> float:
        """Median rms, electron."""
        return float(np.median(self.mesh_rms))

    def level_map(self) -> NDArray[np.float32]:
        """Level at every pixel, (ny, nx), electron."""
        return self._render(extend(self.mesh), None)

    def rms_map(self) -> NDArray[np.float32]:
        """One sigma at every pixel, (ny, nx), electron; never below the lowest mesh."""
        rms = self._render(np.pad(self.mesh_rms, 2, mode="edge"), None)
        return np.maximum(rms, np.float32(self.mesh_rms.min()), out=rms)

    def with_noise(self, mesh_rms: NDArray[np.float64]) -> Background:
        """The same level with another noise of the meshes."""
        return replace(self, mesh_rms=mesh_rms)

    def coarser(self, step: int) -> Background:
        """Return the same sky on a grid of blocks of ``step`` pixels: a small picture of it costs little."""
        return replace(self, shape=(max(1, self.shape[0] // step), max(1, self.shape[1] // step)))

    def subtract_from(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``data`` minus the level map in one pass, (ny, nx), electron; ``data`` stays as it is."""
        if data.shape != self.shape:
            raise ValueError(f"background of a {self.shape} frame, data are {data.shape}")
        return self._render(extend(self.mesh), np.ascontiguousarray(data, dtype=np.float32))

    def level_rows(self, rows: slice) -> NDArray[np.float32]:
        """Level in some rows of the frame, (n, nx), electron."""
        out = np.empty((rows.stop - rows.start, self.shape[1]), np.float32)
        nodes = np.ascontiguousarray(extend(self.mesh))
        _meshes.render(nodes, *self.step_px, None, out, rows.start)
        return out

    def with_meshes(self, edges: tuple[NDArray[np.int32], NDArray[np.int32]]) -> Background:
        """The same sky on other meshes, given by their borders in y and x."""
        y, x = (0.5 * (edge[1:] + edge[:-1]) - 0.5 for edge in edges)
        v, u = np.meshgrid(y, x, indexing="ij")
        box_px = round(float(np.mean(np.diff(edges[0]))))
        return replace(
            self, mesh=self.level_at(u, v), mesh_rms=self.rms_at(u, v), mesh_pixels=self.pixels_at(u, v), box_px=box_px
        )

    def level_at(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Level at positions, (n,), electron; positions outside the frame give the value at its edge."""
        return self._at(extend(self.mesh), x, y)

    def rms_at(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """One sigma at positions, (n,), electron; positions outside the frame give the value at its edge."""
        return np.maximum(self._at(np.pad(self.mesh_rms, 2, mode="edge"), x, y), self.mesh_rms.min())

    def pixels_at(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.int32]:
        """Pixels that made the level of the mesh at positions, (n,); at least 1."""
        step_y, step_x = self.step_px
        j = np.clip((np.asarray(y) + 0.5) // step_y, 0, self.mesh.shape[0] - 1).astype(np.intp)
        i = np.clip((np.asarray(x) + 0.5) // step_x, 0, self.mesh.shape[1] - 1).astype(np.intp)
        return np.maximum(self.mesh_pixels[j, i], 1)

    def _render(self, nodes: NDArray[np.float64], data: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Map of padded nodes, or data minus that map."""
        out = np.empty(self.shape, np.float32)
        _meshes.render(np.ascontiguousarray(nodes), *self.step_px, data, out)
        return out

    def _at(self, nodes: NDArray[np.float64], x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Cubic interpolation of padded nodes at scattered positions."""
        step_y, step_x = self.step_px
        v = (np.clip(np.asarray(y, np.float64), 0, self.shape[0] - 1) + 0.5) / step_y - 0.5
        u = (np.clip(np.asarray(x, np.float64), 0, self.shape[1] - 1) + 0.5) / step_x - 0.5
        j, i = np.floor(v).astype(np.intp), np.floor(u).astype(np.intp)
        wy, wx = _cubic_weights(v - j), _cubic_weights(u - i)
        k = np.arange(4)
        values = nodes[(j[..., None] + 1 + k)[..., :, None], (i[..., None] + 1 + k)[..., None, :]]
        return np.einsum("...j,...i,...ji->...", wy, wx, values)


def extend(mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two nodes on every side, continuing slope and bend: a gradient then reaches the edge as it is.

    The bend is the median of those of five nodes along the edge, so that the noise of none is carried outwards.
    """
    for axis in (0, 1):
        rows = np.moveaxis(mesh, axis, 0)
        extended = np.concatenate([_beyond(rows)[::-1], rows, _beyond(rows[::-1])])
        mesh = np.moveaxis(extended, 0, axis)
    return np.ascontiguousarray(mesh)


def _beyond(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The two rows before the first, the nearer one first (Keys 1981, equation 19, with a smoothed third term)."""
    slope = rows[0] - rows[1] if len(rows) > 1 else np.zeros_like(rows[0])
    bend = np.zeros_like(slope)
    if len(rows) > BEND_NODES // 2:
        bend = median_filter(rows[0] - 2 * rows[1] + rows[2], BEND_NODES, mode="nearest")
    return np.stack([rows[0] + slope + bend, rows[0] + 2 * slope + 3 * bend])


def _cubic_weights(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the four nodes around a phase t in 0..1 (Catmull-Rom), last axis 4."""
    return np.stack(
        [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ],
        axis=-1,
    )
