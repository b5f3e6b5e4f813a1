"""docs/operations/settings.md says what the settings classes say."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs" / "operations" / "make_settings.py"


def script():
    spec = importlib.util.spec_from_file_location("make_settings", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_settings_is_up_to_date():
    module = script()
    assert module.PLACE.read_text(encoding="utf-8") == module.page(), "run: python docs/operations/make_settings.py"


def test_secrets_and_what_must_be_set_are_marked():
    settings = {setting.name: setting for setting in script().settings_of(script().SERVICES["auth"])}
    assert settings["SIGNING_SECRET"].default == "**must be set**"
    assert settings["SIGNING_SECRET"].text.endswith("(secret)")
    assert "SERVICE_CLIENTS__<NAME>__SECRET" in settings
