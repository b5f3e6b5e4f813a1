"""Uploads in PostgreSQL."""

from __future__ import annotations

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway_service.adapters.database import uploads
from gateway_service.domain.uploads import Upload
from gateway_service.errors import UploadNotFoundError


class PostgresUploadStore:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, upload: Upload) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(
                insert(uploads).values({name: getattr(upload, name) for name in Upload.__dataclass_fields__})
            )

    async def get(self, upload_id: str, owner: str) -> Upload:
        query = select(uploads).where(uploads.c.id == upload_id, uploads.c.owner == owner)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise UploadNotFoundError(f"There is no upload {upload_id}.")
        return Upload(**row)

    async def complete(self, upload_id: str, sha256: str, size: int) -> Upload:
        change = (
            update(uploads)
            .where(uploads.c.id == upload_id)
            .values(complete=True, sha256=sha256, size=size)
            .returning(*uploads.c)
        )
        async with self._engine.begin() as connection:
            row = (await connection.execute(change)).mappings().one()
        return Upload(**row)
