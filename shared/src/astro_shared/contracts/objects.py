"""References to objects in storage: how pixels and tables travel between services."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ObjectRef(BaseModel):
    """One immutable object in storage, with the hash by which every reader checks it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(
        title="Key",
        description="Name in storage, made by the server",
        min_length=1,
        max_length=900,
        examples=["uploads/6f1c/9b2e"],
    )
    sha256: str = Field(
        title="SHA-256",
        description="Hash of the content, lower-case hexadecimal",
        pattern=r"^[0-9a-f]{64}$",
        examples=["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    )
    size: int = Field(title="Size", description="Bytes", ge=0, examples=[8388608])
    media_type: str = Field(
        default="application/octet-stream",
        title="Media type",
        max_length=200,
        examples=["application/fits"],
    )
