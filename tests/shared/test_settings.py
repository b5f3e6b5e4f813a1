"""Settings of a service: sources, and one clear line when something is wrong."""

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from astro_shared.settings import ServiceSettings, SettingsError, StorageSettings, load_settings, settings_or_exit


class ExampleSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="EXAMPLE_")

    storage: StorageSettings
    api_key: SecretStr = Field(title="Key")


@pytest.fixture
def complete(monkeypatch, tmp_path):
    values = {
        "DATABASE_URL": "postgresql://u:hush@host/db",
        "API_KEY": "k",
        "STORAGE__FOLDER": str(tmp_path),
        "STORAGE__URL_SECRET": "s" * 32,
    }
    for name, value in values.items():
        monkeypatch.setenv(f"EXAMPLE_{name}", value)
    return monkeypatch


def test_settings_come_from_the_environment(complete, tmp_path):
    settings = load_settings(ExampleSettings)
    assert settings.storage.folder == tmp_path
    assert settings.database_url.get_secret_value() == "postgresql://u:hush@host/db"
    assert "hush" not in repr(settings) and "hush" not in str(settings.model_dump())


def test_given_values_win(complete):
    assert load_settings(ExampleSettings, log_level="DEBUG").log_level == "DEBUG"


def test_everything_that_is_wrong_is_in_one_line(complete):
    complete.delenv("EXAMPLE_API_KEY")
    complete.setenv("EXAMPLE_LOG_LEVEL", "LOUD")
    complete.setenv("EXAMPLE_STORAGE__URL_SECRET", "short-hush")
    with pytest.raises(SettingsError) as wrong:
        load_settings(ExampleSettings)
    message = wrong.value.message
    assert "EXAMPLE_API_KEY is not set" in message
    assert "EXAMPLE_LOG_LEVEL" in message
    assert "EXAMPLE_STORAGE: url_secret needs at least 32 characters" in message
    assert "\n" not in message and "hush" not in message


def test_a_store_names_what_it_needs(complete):
    complete.setenv("EXAMPLE_STORAGE__KIND", "s3")
    with pytest.raises(SettingsError, match="a s3 store needs s3_endpoint and s3_access_key and s3_secret_key"):
        load_settings(ExampleSettings)


def test_a_plain_public_address_is_refused_in_production(complete):
    with pytest.raises(SettingsError, match="public_base_url must be https outside development"):
        load_settings(ExampleSettings, public_base_url="http://alidade.example")
    assert load_settings(ExampleSettings, public_base_url="http://alidade.example", environment="development")
    assert load_settings(ExampleSettings, public_base_url="http://127.0.0.1:8000")


def test_a_process_ends_with_the_line(complete, capsys):
    complete.delenv("EXAMPLE_DATABASE_URL")
    with pytest.raises(SystemExit) as ended:
        settings_or_exit(ExampleSettings)
    assert ended.value.code == 78
    assert capsys.readouterr().err == "settings: EXAMPLE_DATABASE_URL is not set\n"
