"""The Helm chart: renders alike in Helm 4 and 3.6, is valid, locked down, and refuses what it does not know."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

Objects = list[dict[str, Any]]
EXAMPLES = ("existing-secrets", "everything")
SERVICES = ("auth", "gateway", "photometry", "astrometry", "catalogs")
WORKERS = SERVICES[1:]

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("chart")]

_HELM4 = """
import json, sys, yaml
from helm_python import Chart, lint
order = json.load(sys.stdin)
chart = Chart.load(order["chart"])
if order["do"] == "lint":
    print(json.dumps(lint(order["chart"], order["values"], strict=True)))
elif order["do"] == "validate":
    try:
        chart.validate_schema(order["values"])
        print(json.dumps(None))
    except Exception as error:
        print(json.dumps(str(error)))
else:
    print(json.dumps(chart.render(order["values"], name="sky", namespace="survey")))
"""


@pytest.fixture(scope="session")
def ask_helm4(helm4: Path, chart: Path) -> Callable[..., Any]:
    def ask(do: str, values: dict[str, Any]) -> Any:
        order = json.dumps({"do": do, "chart": str(chart), "values": values})
        made = subprocess.run([helm4, "-c", _HELM4], input=order, capture_output=True, text=True, timeout=60)
        assert made.returncode == 0, made.stderr
        return json.loads(made.stdout)

    return ask


@pytest.fixture(scope="session")
def run_helm3(helm3: Path, chart: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    home = tmp_path_factory.mktemp("helm")

    def run(command: list[str], values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HELM", "KUBE"))}
        return subprocess.run(
            [helm3, *command, "-f", "-"], input=json.dumps(values), capture_output=True, text=True, timeout=60,
            env=environment | {"HOME": str(home)},
        )  # fmt: skip

    return run


def example(chart: Path, name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((chart / "ci" / f"{name}.yaml").read_text())
    return values


def rendered_by_helm3(run_helm3: Callable[..., Any], chart: Path, values: dict[str, Any]) -> str:
    made = run_helm3(["template", "sky", str(chart), "-n", "survey", "--kube-version", "1.31.0"], values)
    assert made.returncode == 0, made.stderr
    return str(made.stdout)


def rendered_by_helm4(ask_helm4: Callable[..., Any], chart: Path, name: str) -> str:
    parts = ask_helm4("render", example(chart, name))
    return "\n---\n".join(text for part, text in sorted(parts.items()) if part.endswith(".yaml"))


@pytest.fixture(scope="session", params=EXAMPLES)
def manifest(request: pytest.FixtureRequest, ask_helm4: Callable[..., Any], chart: Path) -> str:
    """All that Helm 4 makes of an example."""
    return rendered_by_helm4(ask_helm4, chart, request.param)


@pytest.fixture(scope="session")
def objects(manifest: str) -> Objects:
    return parse(manifest)


@pytest.fixture(scope="session")
def everything(ask_helm4: Callable[..., Any], chart: Path) -> Objects:
    return parse(rendered_by_helm4(ask_helm4, chart, "everything"))


def parse(manifest: str) -> Objects:
    return [item for item in yaml.safe_load_all(manifest) if item]


def of_kind(objects: Objects, *kinds: str) -> Objects:
    return [item for item in objects if item["kind"] in kinds]


def named(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    return next(item for item in of_kind(objects, kind) if item["metadata"]["name"] == name)


def pods(objects: Objects) -> list[tuple[str, dict[str, Any]]]:
    return [(item["metadata"]["name"], item["spec"]["template"]) for item in of_kind(objects, "Deployment", "Job")]


@pytest.mark.parametrize("name", EXAMPLES)
def test_both_helms_render_the_same(
    name: str, ask_helm4: Callable[..., Any], run_helm3: Callable[..., Any], chart: Path
) -> None:
    def key(item: dict[str, Any]) -> tuple[str, str]:
        return item["kind"], item["metadata"]["name"]

    values = example(chart, name)
    new = [item for part, text in ask_helm4("render", values).items() if part.endswith(".yaml") for item in parse(text)]
    old = parse(rendered_by_helm3(run_helm3, chart, values))
    assert sorted(new, key=key) == sorted(old, key=key)


@pytest.mark.parametrize("name", EXAMPLES)
def test_both_helms_find_nothing_to_complain_of(
    name: str, ask_helm4: Callable[..., Any], run_helm3: Callable[..., Any], chart: Path
) -> None:
    report = ask_helm4("lint", example(chart, name))
    assert [message for message in report["messages"] if message["severity"] > 1] == []
    checked = run_helm3(["lint", str(chart), "--strict"], example(chart, name))
    assert checked.returncode == 0, checked.stdout


def test_every_part_of_the_platform_is_there(objects: Objects) -> None:
    deployments = {item["metadata"]["name"] for item in of_kind(objects, "Deployment")}
    assert deployments == {f"sky-alidade-{name}" for name in SERVICES} | {
        f"sky-alidade-{name}-worker" for name in WORKERS
    }
    for kind in ("Service", "ConfigMap"):
        assert {f"sky-alidade-{name}" for name in SERVICES} <= {
            item["metadata"]["name"] for item in of_kind(objects, kind)
        }
    assert {item["metadata"]["name"] for item in of_kind(objects, "Job")} == {
        f"sky-alidade-{name}-migrate" for name in SERVICES
    }


@pytest.mark.parametrize("version", ["1.27", "1.31"])
def test_every_object_fits_the_schemas_of_kubernetes(
    version: str, manifest: str, kubernetes_validate: Path, tmp_path: Path
) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text(manifest)
    checked = subprocess.run(
        [kubernetes_validate, "-k", version, "--strict", path], capture_output=True, text=True, timeout=120
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_wrong_object_would_be_noticed(kubernetes_validate: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n")
    checked = subprocess.run(
        [kubernetes_validate, "-k", "1.31", "--strict", path], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode != 0


def test_checkov_finds_nothing_but_what_is_explained(manifest: str, checkov: Path, chart: Path, tmp_path: Path) -> None:
    skipped = yaml.safe_load((chart.parents[1] / "testing" / "checkov.yaml").read_text())["skipped"]
    assert all(len(reason) > 60 for reason in skipped.values())
    path = tmp_path / "manifest.yaml"
    path.write_text(manifest)
    checked = subprocess.run(
        [checkov, "--framework", "kubernetes", "--skip-download", "--compact", "--quiet", "-o", "json", "-f", path],
        capture_output=True, text=True, timeout=110, cwd=tmp_path,
    )  # fmt: skip
    report = json.loads(checked.stdout)
    found = {finding["check_id"] for finding in report["results"]["failed_checks"]}
    assert report["summary"]["passed"] > 500
    assert found <= set(skipped), found - set(skipped)


def test_pods_may_do_nothing_that_they_need_not(objects: Objects) -> None:
    for name, template in pods(objects):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert "hostNetwork" not in spec and "hostPID" not in spec and "hostIPC" not in spec
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] == 10001
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"], name
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            assert set(container["resources"]["limits"]) >= {"cpu", "memory"}, name
            writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
            assert set(writable) <= {"/tmp", "/var/lib/alidade/reference"}
        assert all(volume.get("hostPath") is None for volume in spec["volumes"])


def test_starting_being_ready_and_being_alive_are_asked_differently(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        probes = [
            json.dumps(container[f"{kind}Probe"], sort_keys=True) for kind in ("startup", "readiness", "liveness")
        ]
        assert len(set(probes)) == 3
        if container["name"] == "api":
            paths = [json.loads(probe)["httpGet"]["path"] for probe in probes]
            assert paths == ["/healthz", "/readyz", "/healthz"]


def test_migrations_bring_what_they_read(objects: Objects) -> None:
    """Before an installation there is no ConfigMap or Secret of the chart but those that are hooks too."""
    hooks = {
        (item["kind"], item["metadata"]["name"]): int(item["metadata"]["annotations"]["helm.sh/hook-weight"])
        for item in objects
        if "helm.sh/hook" in item["metadata"].get("annotations", {})
    }
    made = {item["metadata"]["name"] for item in of_kind(objects, "Secret")}
    for job in of_kind(objects, "Job"):
        own = hooks["Job", job["metadata"]["name"]]
        spec = job["spec"]["template"]["spec"]
        assert hooks["ServiceAccount", spec["serviceAccountName"]] < own
        for source in spec["containers"][0]["envFrom"]:
            if "configMapRef" in source:
                assert hooks["ConfigMap", source["configMapRef"]["name"]] < own
            elif source["secretRef"]["name"] in made:
                assert hooks["Secret", source["secretRef"]["name"]] < own


def test_policies_deny_everything_and_then_allow_what_is_needed(objects: Objects) -> None:
    policies = {item["metadata"]["name"]: item["spec"] for item in of_kind(objects, "NetworkPolicy")}
    denied = policies["sky-alidade-default-deny"]
    assert denied["policyTypes"] == ["Ingress", "Egress"] and "ingress" not in denied and "egress" not in denied
    labels = denied["podSelector"]["matchLabels"]
    for name, template in pods(objects):
        assert labels.items() <= template["metadata"]["labels"].items(), name
    settings = named(objects, "ConfigMap", "sky-alidade-astrometry")["data"]
    nova = settings["ASTROMETRY_NOVA__MODE"] == "online"
    outside = {
        spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for spec in policies.values()
        if "0.0.0.0/0" in json.dumps(spec)
    }
    assert outside == ({"catalogs", "astrometry"} if nova else {"catalogs"})


def test_nova_is_asked_only_where_it_is_switched_on(
    everything: Objects, ask_helm4: Callable[..., Any], chart: Path
) -> None:
    least = parse(rendered_by_helm4(ask_helm4, chart, "existing-secrets"))
    modes = [
        named(objects, "ConfigMap", "sky-alidade-astrometry")["data"]["ASTROMETRY_NOVA__MODE"]
        for objects in (least, everything)
    ]
    assert modes == ["offline", "online"]
    assert "ASTROMETRY_SEALING_SECRET" in named(everything, "Secret", "sky-alidade-astrometry")["stringData"]


def test_only_auth_reaches_the_mail_server_and_only_where_there_is_one(
    everything: Objects, ask_helm4: Callable[..., Any], chart: Path
) -> None:
    least = parse(rendered_by_helm4(ask_helm4, chart, "existing-secrets"))
    assert "sky-alidade-mail" not in {item["metadata"]["name"] for item in of_kind(least, "NetworkPolicy")}
    assert "AUTH_MAIL__KIND" not in named(least, "ConfigMap", "sky-alidade-auth")["data"]
    policy = named(everything, "NetworkPolicy", "sky-alidade-mail")["spec"]
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "auth"
    (rule,) = policy["egress"]
    assert [port["port"] for port in rule["ports"]] == [465]
    assert rule["to"] == [{"ipBlock": {"cidr": "192.0.2.20/32"}}]


def test_auth_and_its_migration_have_the_authority_of_the_mail_server(everything: Objects) -> None:
    mounting = {
        name
        for name, template in pods(everything)
        if "mail-ca" in {volume["name"] for volume in template["spec"]["volumes"]}
    }
    assert mounting == {"sky-alidade-auth", "sky-alidade-auth-migrate"}
    settings = named(everything, "ConfigMap", "sky-alidade-auth")["data"]
    assert settings["AUTH_MAIL__CA_FILE"] == "/etc/alidade/mail-ca/ca.crt"


def test_a_login_at_the_mail_server_needs_a_password(run_helm3: Callable[..., Any], chart: Path) -> None:
    values = example(chart, "everything")
    values["secrets"].pop("existing")
    values["secrets"]["values"].pop("mailPassword")
    made = run_helm3(["template", "sky", str(chart), "--kube-version", "1.31.0"], values)
    assert made.returncode != 0
    assert "secrets.values.mailPassword" in made.stderr


@pytest.mark.parametrize("accounts", [{"registration": "invitation"}, {"confirmAddress": True}])
def test_links_need_a_mail_server(run_helm3: Callable[..., Any], chart: Path, accounts: dict[str, Any]) -> None:
    values = example(chart, "existing-secrets") | {"accounts": accounts}
    made = run_helm3(["template", "sky", str(chart), "--kube-version", "1.31.0"], values)
    assert made.returncode != 0
    assert "mail.host" in made.stderr


def test_the_pages_that_mailed_links_lead_to_are_public(objects: Objects) -> None:
    (ingress,) = of_kind(objects, "Ingress")
    assert "/account" in {path["path"] for path in ingress["spec"]["rules"][0]["http"]["paths"]}


def test_selectors_choose_one_kind_of_pod_each(objects: Objects) -> None:
    chosen = [("Service", item["spec"]["selector"]) for item in of_kind(objects, "Service")]
    chosen += [
        (item["kind"], item["spec"]["selector"]["matchLabels"])
        for item in of_kind(objects, "Deployment", "PodDisruptionBudget")
    ]
    for kind, selector in chosen:
        matching = [name for name, pod in pods(objects) if selector.items() <= pod["metadata"]["labels"].items()]
        assert len(matching) == 1, (kind, selector, matching)


def test_what_scales_itself_has_no_fixed_number(everything: Objects) -> None:
    scaled = {item["spec"]["scaleTargetRef"]["name"] for item in of_kind(everything, "HorizontalPodAutoscaler")}
    assert scaled == {"sky-alidade-gateway", "sky-alidade-photometry-worker"}
    for deployment in of_kind(everything, "Deployment"):
        assert ("replicas" in deployment["spec"]) == (deployment["metadata"]["name"] not in scaled)


def test_only_public_paths_of_the_gateway_are_reached_from_outside(objects: Objects) -> None:
    (ingress,) = of_kind(objects, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] == "alidade.example.org" and ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]
    assert {path["backend"]["service"]["name"] for path in rule["http"]["paths"]} == {"sky-alidade-gateway"}
    assert not [path for path in rule["http"]["paths"] if path["path"].startswith("/v1") or path["path"] == "/"]


def test_a_password_with_every_sign_survives_in_the_address(everything: Objects) -> None:
    secret = named(everything, "Secret", "sky-alidade-photometry")
    address = urlsplit(secret["stringData"]["PHOTOMETRY_DATABASE_URL"])
    assert unquote(address.password or "") == "a b/c?d@e:f#g%h+i"
    assert (address.hostname, address.port, address.path) == ("postgres.example.org", 5432, "/alidade_photometry")


def test_a_digest_wins_over_the_tag(everything: Objects) -> None:
    images = {name: template["spec"]["containers"][0]["image"] for name, template in pods(everything)}
    assert images["sky-alidade-auth"].startswith("registry.example.org/astronomy/alidade-auth@sha256:0123")
    assert images["sky-alidade-gateway"] == "registry.example.org/astronomy/alidade-gateway:1.2.3"


def test_only_workers_of_catalogs_have_the_image_that_matches_surveys(
    everything: Objects, ask_helm4: Callable[..., Any], chart: Path
) -> None:
    usual = pods(parse(rendered_by_helm4(ask_helm4, chart, "existing-secrets")))
    assert not [name for name, template in usual if "surveys" in template["spec"]["containers"][0]["image"]]
    images = {name: template["spec"]["containers"][0]["image"] for name, template in pods(everything)}
    assert [name for name, image in images.items() if "surveys" in image] == ["sky-alidade-catalogs-worker"]
    assert "/alidade-catalogs-surveys:" in images["sky-alidade-catalogs-worker"]


def test_a_secret_that_exists_is_used_and_not_made(everything: Objects) -> None:
    spec = named(everything, "Deployment", "sky-alidade-auth")["spec"]["template"]["spec"]
    assert spec["containers"][0]["envFrom"][1]["secretRef"]["name"] == "auth-from-the-vault"
    assert "sky-alidade-auth" not in {item["metadata"]["name"] for item in of_kind(everything, "Secret")}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_with_what_the_chart_gives_it(
    service: str, ask_helm4: Callable[..., Any], chart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ConfigMap and Secret together satisfy the settings class, and every variable is one that it knows."""
    import importlib

    from pydantic_settings import BaseSettings

    values = example(chart, "everything")
    values["secrets"].pop("existing")
    for section in ("s3", "mail"):
        values[section].pop("caSecret")  # a file that is looked for at the start
    objects = [
        item for part, text in ask_helm4("render", values).items() if part.endswith(".yaml") for item in parse(text)
    ]
    given = named(objects, "ConfigMap", f"sky-alidade-{service}")["data"]
    given = given | named(objects, "Secret", f"sky-alidade-{service}")["stringData"]
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    module = importlib.import_module(f"{service}_service.config")
    settings_class: type[BaseSettings] = getattr(module, f"{service.capitalize()}Settings")
    settings = settings_class()
    prefix = f"{service.upper()}_"
    for name in given:
        first = name.removeprefix(prefix).split("__")[0].lower()
        assert name.startswith(prefix) and first in settings_class.model_fields, name
    assert settings.model_dump()["environment"] == "production"


WRONG: list[tuple[str, Any, str]] = [
    ("plattform", {}, "plattform"),
    ("platform", {"publicUrl": "http://sky.example.org"}, "publicUrl"),
    ("platform", {"publicUrl": "https://sky.example.org/"}, "publicUrl"),
    ("database", {"host": ""}, "host"),
    ("database", {"host": "db", "port": 70000}, "port"),
    ("database", {"host": "db", "sslMode": "verify-full"}, "caSecret"),
    ("s3", {"endpoint": "s3.example.org"}, "endpoint"),
    ("s3", {"endpoint": "https://s3.example.org", "bucket": "Not_A_Bucket"}, "bucket"),
    ("services", {"photometry": {"worker": {"replica": 3}}}, "replica"),
    ("services", {"photometry": {"settings": {"lower": "x"}}}, "lower"),
    ("services", {"telescope": {}}, "telescope"),
    ("ingress", {"paths": ["/v1"]}, "paths"),
    ("mail", {"host": "mail.example.org"}, "sender"),
    ("mail", {"host": "mail.example.org", "sender": "a@b.test", "security": "plain"}, "security"),
    ("accounts", {"registration": "everybody"}, "registration"),
    ("secrets", {"create": True, "values": {"signing": "short"}}, "signing"),
]


@pytest.mark.parametrize(
    ("section", "given", "word"), WRONG, ids=[f"{case[0]}-{case[2]}-{n}" for n, case in enumerate(WRONG)]
)
def test_wrong_values_are_refused_by_name(
    section: str, given: Any, word: str, run_helm3: Callable[..., Any], chart: Path
) -> None:
    values = example(chart, "existing-secrets")
    values[section] = values.get(section, {}) | given if isinstance(given, dict) else given
    made = run_helm3(["template", "sky", str(chart)], values)
    assert made.returncode != 0
    assert word in made.stderr


def test_helm_4_refuses_wrong_values_too(ask_helm4: Callable[..., Any], chart: Path) -> None:
    values = example(chart, "existing-secrets")
    assert ask_helm4("validate", values) is None
    assert "telescope" in ask_helm4("validate", values | {"telescope": 1})


def test_secrets_that_are_to_be_made_of_nothing_are_refused(run_helm3: Callable[..., Any], chart: Path) -> None:
    made = run_helm3(
        ["template", "sky", str(chart), "--kube-version", "1.31.0"],
        example(chart, "existing-secrets") | {"secrets": {"create": True}},
    )
    assert made.returncode != 0
    assert "secrets.values.databasePassword" in made.stderr and "secrets.values.clients.gateway" in made.stderr


def test_nothing_secret_is_in_a_config_map(everything: Objects) -> None:
    secrets = [value for item in of_kind(everything, "Secret") for value in item["stringData"].values()]
    plain = json.dumps(of_kind(everything, "ConfigMap", "Deployment", "Job"))
    assert secrets and not [value for value in secrets if value in plain]


@pytest.mark.parametrize(
    ("ingress", "believed"),
    [({}, ["10.0.0.0/8"]), ({"proxyNetworks": ["10.7.0.0/24"]}, ["10.7.0.0/24"]), ({"enabled": False}, None)],
)
def test_the_gateway_believes_the_ingress_alone_about_addresses(
    ask_helm4: Callable[..., Any], chart: Path, ingress: dict[str, Any], believed: list[str] | None
) -> None:
    values = example(chart, "existing-secrets")
    values["platform"]["podNetworks"] = ["10.0.0.0/8"]
    values["ingress"] = {**values.get("ingress", {}), **ingress}
    parts = ask_helm4("render", values)
    manifest = "\n---\n".join(text for part, text in sorted(parts.items()) if part.endswith(".yaml"))
    made = named(parse(manifest), "ConfigMap", "sky-alidade-gateway")["data"]
    told = made.get("GATEWAY_FORWARDED_ALLOW_IPS")
    assert (json.loads(told) if told else None) == believed
