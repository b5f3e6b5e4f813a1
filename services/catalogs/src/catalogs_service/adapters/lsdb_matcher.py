"""Survey against survey with LSDB on a Dask cluster of this machine; both come with the extra ``surveys``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from catalogs_service.errors import SurveyMemoryError, SurveysNotInstalledError

INSTALL = "pip install 'catalogs-service[surveys]'"
# What a match shows of each side unless all columns are wanted.
POSITIONS = ("source_id", "ra", "dec")
_LOOK_EVERY_S = 0.5
# A process that has too little memory would pause for ever: it shall be killed, and what killed two is not tried again.
_ENDS_RATHER_THAN_WAITS = {"distributed.worker.memory.pause": False, "distributed.scheduler.allowed-failures": 1}


@dataclass(frozen=True, slots=True)
class ClusterLimits:
    """Processes of the cluster, and memory of each."""

    workers: int = 2
    worker_memory_mb: int = 2048


class LsdbMatcher:
    """Matches HATS catalogues partition by partition, each to the partition and margin of the other.

    Parameters
    ----------
    limits : of the cluster, which lives as long as one match
    scratch : folder for what does not fit into memory

    Raises
    ------
    SurveysNotInstalledError
        The extra is not installed here.
    """

    def __init__(self, limits: ClusterLimits, scratch: Path) -> None:
        if importlib.util.find_spec("lsdb") is None:
            raise SurveysNotInstalledError(
                f"This worker cannot match surveys, since the Python package lsdb is not installed: {INSTALL}, or the "
                "image catalogs-surveys. POST /api/v1/crossmatch matches a table to a list without it."
            )
        self._limits, self._scratch = limits, scratch

    def match(
        self,
        left: Path,
        right: Path,
        margin: Path | None,
        out: Path,
        *,
        radius_arcsec: float,
        neighbours: int,
        all_columns: bool,
        report: Callable[[float], None],
    ) -> None:
        """Write the pairs of two HATS catalogues as a third: every row of ``left`` with its nearest in ``right``.

        Parameters
        ----------
        margin : of ``right``, for at least the radius; None where it has none
        neighbours : the nearest so many within the radius

        Raises
        ------
        SurveyMemoryError
            A partition does not fit into the memory of a process of the cluster.
        """
        import lsdb
        from distributed import KilledWorker

        columns = None if all_columns else list(POSITIONS)
        with self._cluster(), ThreadPoolExecutor(1) as thread:
            matched = lsdb.open_catalog(left, columns=columns).crossmatch(
                lsdb.open_catalog(right, columns=columns, margin_cache=margin),
                radius_arcsec=radius_arcsec,
                n_neighbors=neighbours,
                suffixes=("_left", "_right"),
                suffix_method="all_columns",
            )
            writing = thread.submit(
                matched.write_catalog, out, catalog_name=out.name, as_collection=False, progress_bar=False,
                error_if_empty=False,
            )  # fmt: skip
            while not wait([writing], timeout=_LOOK_EVERY_S).done:
                report(len(list(out.glob("dataset/*/*/*.parquet"))) / matched.npartitions)
            try:
                writing.result()
            except KilledWorker as error:
                raise SurveyMemoryError(
                    f"A partition did not fit into the {self._limits.worker_memory_mb} MB of a process: "
                    "CATALOGS_SURVEYS__WORKER_MEMORY_MB gives it more.",
                    worker_memory_mb=self._limits.worker_memory_mb,
                ) from error

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        """A cluster that only this process can speak to: on the loopback, with certificates of the moment."""
        import dask
        from distributed import Client, LocalCluster

        with (
            dask.config.set(_ENDS_RATHER_THAN_WAITS),
            LocalCluster(
                n_workers=self._limits.workers,
                threads_per_worker=1,
                memory_limit=self._limits.worker_memory_mb << 20,
                host="127.0.0.1",
                security=True,
                dashboard_address=None,
                local_directory=self._scratch,
            ) as cluster,
            Client(cluster),
        ):
            yield


__all__ = ["INSTALL", "ClusterLimits", "LsdbMatcher"]
