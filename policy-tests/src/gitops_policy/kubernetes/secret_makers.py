"""Which objects make Secrets, under which names and with which keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gitops_policy.fields import entries, field, mapping, sequence, text
from gitops_policy.model import Resource

# The keys of a Secret, None where only run time knows.
Keys = frozenset[str] | None
Made = tuple[str, Keys]

_TLS = frozenset({"tls.crt", "tls.key", "ca.crt"})
_LOGIN = frozenset({"username", "password"})
_DATABASE_LOGIN = _LOGIN | {
    "dbname",
    "fqdn-jdbc-uri",
    "fqdn-uri",
    "host",
    "jdbc-uri",
    "pgpass",
    "port",
    "uri",
    "user",
}
_ZALANDO = "credentials.postgresql.acid.zalan.do"


def made_by(resource: Resource) -> Iterator[tuple[str, str, Keys]]:
    """Yield namespace, name and keys of each Secret that an object makes."""
    if resource.group_kind == "external-secrets.io/ClusterExternalSecret":
        yield from _in_namespaces(resource)
        return
    make = _MAKERS.get(resource.group_kind)
    for name, keys in make(resource) if make else ():
        if name:
            yield resource.namespace, name, keys


def _secret(secret: Resource) -> Iterator[Made]:
    data = {**mapping(secret.content, "data"), **mapping(secret.content, "stringData")}
    token = text(secret.content, "type") == "kubernetes.io/service-account-token"
    added = {"token", "ca.crt", "namespace"} if token else set()
    yield secret.name, frozenset(data) | added


def _certificate(certificate: Resource) -> Iterator[Made]:
    spec = certificate.spec
    keys = set(_TLS)
    for store, suffix in (("jks", "jks"), ("pkcs12", "p12")):
        if field(spec, "keystores", store, "create") is True:
            keys |= {f"keystore.{suffix}", f"truststore.{suffix}"}
    more = {"CombinedPEM": "tls-combined.pem", "DER": "key.der"}
    formats = [text(item, "type") for _, item in entries(spec, "additionalOutputFormats")]
    yield text(spec, "secretName"), frozenset(keys | {more[f] for f in formats if f in more})


def _sealed(sealed: Resource) -> Iterator[Made]:
    # The controller opens it under its own name, whatever the template says.
    template = mapping(sealed.spec, "template")
    yield (
        sealed.name,
        frozenset({*mapping(sealed.spec, "encryptedData"), *mapping(template, "data")}),
    )


def _external(external: Resource) -> Iterator[Made]:
    target = mapping(external.spec, "target")
    if target.get("creationPolicy") != "None":
        yield text(target, "name") or external.name, external_keys(external.spec)


def external_keys(spec: object) -> Keys:
    """Return the keys that the spec of an ExternalSecret writes."""
    template = mapping(spec, "target", "template")
    written = frozenset(mapping(template, "data"))
    merged = field(template, "mergePolicy") == "Merge"
    if (written or "templateFrom" in template) and not merged:
        return None if "templateFrom" in template else written
    if entries(spec, "dataFrom") or "templateFrom" in template:
        return None
    return written | {text(item, "secretKey") for _, item in entries(spec, "data")}


def _in_namespaces(cluster_secret: Resource) -> Iterator[tuple[str, str, Keys]]:
    spec = mapping(cluster_secret.spec, "externalSecretSpec")
    name = text(cluster_secret.spec, "externalSecretName") or cluster_secret.name
    for namespace in sequence(cluster_secret.spec, "namespaces"):
        yield str(namespace), text(spec, "target", "name") or name, external_keys(spec)


def _database(cluster: Resource) -> Iterator[Made]:
    """CloudNativePG: the application's login, the superuser's if enabled, and certificates."""
    spec, name = cluster.spec, cluster.name
    own = [text(part, "secret", "name") for part in mapping(spec, "bootstrap").values()]
    if not any(own):
        yield f"{name}-app", _DATABASE_LOGIN
    if spec.get("enableSuperuserAccess") is True and not mapping(spec, "superuserSecret"):
        yield f"{name}-superuser", _DATABASE_LOGIN
    certificates = mapping(spec, "certificates")
    if not certificates.get("serverCASecret"):
        yield f"{name}-ca", frozenset({"ca.crt", "ca.key"})
    if not certificates.get("serverTLSSecret"):
        yield f"{name}-server", frozenset({"tls.crt", "tls.key"})
    if not certificates.get("replicationTLSSecret"):
        yield f"{name}-replication", frozenset({"tls.crt", "tls.key"})


def _vault(secret: Resource) -> Iterator[Made]:
    yield text(secret.spec, "destination", "name"), None


def _named_alike(resource: Resource) -> Iterator[Made]:
    yield resource.name, None


def _provider_class(provider: Resource) -> Iterator[Made]:
    for _, item in entries(provider.spec, "secretObjects"):
        keys = frozenset(text(part, "key") for _, part in entries(item, "data"))
        yield text(item, "secretName"), keys


def _kafka_user(user: Resource) -> Iterator[Made]:
    if text(user.spec, "authentication", "type") in ("scram-sha-512", "tls"):
        yield user.name, None


def _rabbit(cluster: Resource) -> Iterator[Made]:
    yield f"{cluster.name}-default-user", None


def _elastic(cluster: Resource) -> Iterator[Made]:
    yield f"{cluster.name}-es-elastic-user", frozenset({"elastic"})
    yield f"{cluster.name}-es-http-certs-public", frozenset({"tls.crt", "ca.crt"})


def _keycloak(keycloak: Resource) -> Iterator[Made]:
    if not keycloak.spec.get("bootstrapAdmin"):
        yield f"{keycloak.name}-initial-admin", _LOGIN


def _zalando(cluster: Resource) -> Iterator[Made]:
    for user in mapping(cluster.spec, "users"):
        yield f"{user}.{cluster.name}.{_ZALANDO}", _LOGIN


_MAKERS: dict[str, Callable[[Resource], Iterator[Made]]] = {
    "Secret": _secret,
    "acid.zalan.do/postgresql": _zalando,
    "bitnami.com/SealedSecret": _sealed,
    "cert-manager.io/Certificate": _certificate,
    "elasticsearch.k8s.elastic.co/Elasticsearch": _elastic,
    "external-secrets.io/ExternalSecret": _external,
    "k8s.keycloak.org/Keycloak": _keycloak,
    "kafka.strimzi.io/KafkaUser": _kafka_user,
    "onepassword.com/OnePasswordItem": _named_alike,
    "postgresql.cnpg.io/Cluster": _database,
    "rabbitmq.com/RabbitmqCluster": _rabbit,
    "secrets-store.csi.x-k8s.io/SecretProviderClass": _provider_class,
    "secrets.hashicorp.com/VaultDynamicSecret": _vault,
    "secrets.hashicorp.com/VaultPKISecret": _vault,
    "secrets.hashicorp.com/VaultStaticSecret": _vault,
}
