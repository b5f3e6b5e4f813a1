"""Signed addresses against the client's own, and against the example of the documentation."""

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from minio import Minio

from astro_shared.storage.s3_signing import S3Credentials, presigned_url

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def test_the_documented_example_gives_the_documented_signature():
    # Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters", example
    url = presigned_url(
        "https://examplebucket.s3.amazonaws.com/test.txt",
        S3Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1"),
        method="GET",
        expires_s=86400,
        now=datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert url.endswith("X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


def test_without_further_headers_it_is_what_the_client_signs():
    client = Minio("s3.example.org", "key", "secret", region="eu-west-1")
    answer = {"response-content-disposition": 'attachment; filename="a b.fits"', "response-content-type": "text/plain"}
    theirs = client.get_presigned_url("GET", "bucket", "a/b=c@d", response_headers=dict(answer), request_date=NOW)
    ours = presigned_url(
        "https://s3.example.org/bucket/a/b%3Dc%40d",
        S3Credentials("key", "secret", "eu-west-1"),
        method="GET",
        expires_s=7 * 86400,
        query=answer,
        now=NOW,
    )
    assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(theirs).query)
    assert urlsplit(ours).path == urlsplit(theirs).path


def test_a_length_is_part_of_the_signature():
    def signed(length: int) -> dict[str, list[str]]:
        url = presigned_url(
            "https://s3.example.org/bucket/a",
            S3Credentials("key", "secret", "eu-west-1"),
            method="PUT",
            expires_s=60,
            headers={"content-length": str(length)},
            now=NOW,
        )
        return parse_qs(urlsplit(url).query)

    assert signed(1)["X-Amz-SignedHeaders"] == ["content-length;host"]
    assert signed(1)["X-Amz-Signature"] != signed(2)["X-Amz-Signature"]
