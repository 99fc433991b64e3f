"""Credentials are told from what is about them; no text takes long to judge."""

import pytest
from gitops_policy.notations.credentials import credential, credentials_in, names_a_secret, token
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "name",
    [
        "password", "DB_PASSWORD", "dbPassword", "mysql-root-password", "PASSWORD2", "pwd", "token",
        "GITHUB_TOKEN", "authtoken", "AWS_SECRET_ACCESS_KEY", "aws_access_key_id", "apiKey",
        "API_KEYS", "AZURE_BATCH_KEY", "OCI_CLI_KEY_CONTENT", "SESSION_SECRET", "clientSecret",
        "bearer", "jwt", "DB_PASS", "DB_PASS_2", "user-pw",
        "credentials", "SECRET_KEY_BASE", "ssh-private-key", "smtp.passwd",
    ],
)  # fmt: skip
def test_names_that_hold_a_credential(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "", "_", "PASSWORD_FILE", "SECRET_NAME", "secretName", "TOKEN_TTL_SECONDS", "TOKEN_URL",
        "PASSWORD_MIN_LENGTH", "JWT_ALGORITHM", "JWT_ISSUER", "API_KEY_HEADER", "TOKENIZER",
        "MAX_TOKENS", "KEY_PREFIX", "PRIMARY_KEY", "monkey", "BYPASS", "PASS_THROUGH", "PASS_RATE",
        "2", "COMPASS", "AUTHOR", "KEYS",
        "API_KEY_HASHES", "SECRET_ROTATION", "passthrough",
    ],
)  # fmt: skip
def test_names_that_hold_none(name: str) -> None:
    assert not names_a_secret(name)


# Shapes only: filled with letters that no issuer gave out.
@pytest.mark.parametrize(
    ("text", "issuer"),
    [
        ("id: AKIA" + "X" * 16, "AWS access key"),
        ("ghp_" + "x" * 36, "GitHub token"),
        ("github_pat_" + "x" * 60, "GitHub token"),
        ("glpat-" + "x" * 20, "GitLab token"),
        ("xoxb-" + "0" * 10, "Slack token"),
        ("AIza" + "x" * 35, "Google API key"),
        ("sk_" + "live_" + "x" * 10, "Stripe key"),
        ("npm_" + "x" * 36, "npm token"),
        ("hf_" + "x" * 34, "Hugging Face token"),
        ("SG." + "x" * 22 + "." + "x" * 43, "SendGrid key"),
        ("x" * 14 + ".atlasv1." + "x" * 60, "Terraform token"),
        ("SK" + "0" * 32, "Twilio key"),
        ("hvs." + "x" * 24, "Vault token"),
        ("NRAK-" + "x" * 27, "New Relic key"),
        ("AccountKey=" + "x" * 86 + "==", "Azure storage key"),
        ("eyXXXXXXXXXXXX.eyXXXXXXXXXXXX.XXXXXXXXXX", "JSON Web Token"),
        ("-----BEGIN RSA PRIVATE KEY-----", "private key"),
        ("Authorization: Bearer " + "x" * 20, "bearer token"),
        ("client-key-data: " + "x" * 40, "kubeconfig key"),
        ("HEROKU_KEY=00000000-0000-0000-0000-000000000000", "heroku token"),
        ("redis://:squirrels@cache:6379", "password in a URL"),
        ("https://joe:squirrels@example.com/a", "password in a URL"),
    ],
)
def test_shapes_of_tokens(text: str, issuer: str) -> None:
    assert token(text) == issuer
    assert token(f"a {text} b") == issuer


@pytest.mark.parametrize(
    "text",
    [
        "", "sha256:" + "0" * 64, "https://example.com:8443/a@b", "postgres://joe@db/a",
        "https://joe:$(PASSWORD)@example.com", "https://${USER}:${PASSWORD}@example.com",
        "AKIA", "ghp_short", "-----BEGIN CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----",
        "git@github.com:example/web.git", "bearer of news", "npm_config_cache",
    ],
)  # fmt: skip
def test_text_without_a_token(text: str) -> None:
    assert token(text) == ""


@pytest.mark.parametrize(
    "value",
    [
        "", "  ", "$(X)", "${X}", "$X", "{{ args.x }}", "<password>", "/run/secrets/db",
        "./key.pem", "file:/a", "vault:secret/web#key", "ref+vault://a", "projects/1/secrets/a",
        "arn:aws:secretsmanager:eu-west-1:1:a", "ENC[AES256]", "true", "None", "auto", "https://example.com/token",
    ],
)  # fmt: skip
def test_values_that_are_no_credential(value: str) -> None:
    assert credential("DB_PASSWORD", value) == ""


def test_lines_of_a_file() -> None:
    text = 'user: joe\npassword: squirrels # old\n- export TOKEN=\'a b\'\n{"secret": "c"}\n'
    found = ["password", "TOKEN", "secret"]
    assert list(credentials_in(text)) == [f"the value of {name}" for name in found]
    assert list(credentials_in("token = read(path)\nself.token = token\n", program=True)) == []


@pytest.mark.parametrize(
    "text",
    ["-" * 200_000, "ey-" * 60_000 + ".ey", "a" * 200_000 + "://", "a:" + " " * 200_000 + "x",
     "$(" * 100_000, "password=" + "x (" * 60_000, "SK" * 100_000, "://:" * 50_000],
    ids=lambda text: text[:9],
)  # fmt: skip
def test_no_text_takes_long(text: str) -> None:
    assert token(text) == ""
    assert isinstance(list(credentials_in(text)), list)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_judged(name: str, value: str) -> None:
    assert isinstance(credential(name, value), str)
