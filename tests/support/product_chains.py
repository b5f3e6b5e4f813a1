"""Plots, maps, table and archive of one measured frame, in a process of its own: ``product_chains.py CHAIN FOLDER``.

FOLDER holds ``measured.pkl``: a `Measurement` and its request. The naive chain is what people write: five pictures of the whole
frame with pyplot, compressed FITS maps and CSV with astropy, and a ZIP that packs it all. Printed: JSON of CPU seconds.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
import zipfile
from pathlib import Path
from typing import Any


def alidade(measured: Any, request: Any, folder: Path) -> float:
    """The plots of ``measure`` (seven), its maps, the catalogue as CSV and the archive."""
    from gateway_service.adapters import table_files
    from gateway_service.adapters.archive import write_archive
    from photometry_service import tasks
    from photometry_service.adapters import measurement_plots  # noqa: F401 - drawn with; loaded before the clock starts

    measured.background.level_map(), measured.background.rms_map()  # kept by the measurement, as below
    begun = time.process_time()
    files = tasks._measure_files(measured, request, folder)
    files |= tasks._measure_plots(measured, request.frame_name, folder)
    paths = {name: file.path for name, file in files.items()}
    paths["catalog.csv"] = folder / "catalog.csv"
    table_files.write_csv(paths["catalog.csv"], measured.columns)
    write_archive(folder / "archive.zip", paths)
    return time.process_time() - begun


def naive(measured: Any, request: Any, folder: Path) -> float:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from astropy.io import fits
    from astropy.table import Table
    from astropy.visualization import ImageNormalize, ZScaleInterval

    data, columns = measured.clean.pixels(), measured.columns
    level, noise = measured.background.level_map(), measured.background.rms_map()
    begun = time.process_time()
    paths = []

    def kept(figure: Any, name: str) -> None:
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=150, bbox_inches="tight")
        plt.close(figure)

    for name, values in (("image", data), ("background", level), ("rms", noise), ("residual", measured.residual)):
        figure, axes = plt.subplots(figsize=(10, 10))
        norm = ImageNormalize(values, interval=ZScaleInterval())
        figure.colorbar(axes.imshow(values, origin="lower", norm=norm, cmap="gray"))
        if name == "image":
            axes.scatter(columns["x"], columns["y"], s=40, facecolors="none", edgecolors="lime")
        kept(figure, name)
    figure, axes = plt.subplots(figsize=(10, 6))
    axes.hist(measured.marginal.star_fwhm_px, bins=50)
    kept(figure, "fwhm")
    for name, values in (("background", level), ("rms", noise), ("residual", measured.residual)):
        paths.append(folder / f"{name}.fits.gz")
        fits.writeto(paths[-1], values, overwrite=True)
    paths.append(folder / "catalog.csv")
    Table({k: v for k, v in columns.items() if v.ndim == 1}).write(paths[-1], format="ascii.csv", overwrite=True)
    with zipfile.ZipFile(folder / "archive.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, path.name)
    return time.process_time() - begun


def main() -> None:
    chain, folder = sys.argv[1], Path(sys.argv[2])
    with (folder / "measured.pkl").open("rb") as file:
        measured, request = pickle.load(file)
    out = folder / chain
    out.mkdir(exist_ok=True)
    spent = {"alidade": alidade, "naive": naive}[chain](measured, request, out)
    names = ("archive.zip", *sorted(path.name for path in out.glob("*.fits*")))
    sizes = {name: os.path.getsize(out / name) for name in names}  # noqa: PTH202
    print(json.dumps({"cpu_s": spent, "sizes": sizes}))


if __name__ == "__main__":
    main()
